package emulator

import (
	"net/http"
	"strconv"
)

// MetadataHost is the name for the nodes' metadata service in the request log and for faults. It is served by the proxy's own listener: point
// AZURE_POD_IDENTITY_AUTHORITY_HOST at [Emulator.ProxyURL].
const MetadataHost = "169.254.169.254"

// metadataToken gives managed identities tokens.
// https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
func (e *Emulator) metadataToken(w http.ResponseWriter, r *http.Request) {
	rec := &recorder{ResponseWriter: w, entry: e.log.begin(r.Method, MetadataHost, r.URL.Path), log: e.log}
	if e.injectFault(rec, r, MetadataHost) {
		return
	}
	q := r.URL.Query()
	id, ok := e.store.assigned(q.Get("client_id"))
	switch {
	case r.Header.Get("Metadata") != "true" || r.Header.Get("X-Forwarded-For") != "":
		metadataError(rec, "Required metadata header not specified")
	case q.Get("api-version") == "" || q.Get("resource") == "":
		metadataError(rec, "Required query variable is missing")
	case !ok:
		metadataError(rec, "Identity not found")
	default:
		identify(rec, id.ClientID)
		now, life := e.now(), e.tokens.life
		writeJSON(rec, http.StatusOK, map[string]string{ // numbers are texts here
			"access_token": e.tokens.sign(q.Get("resource"), id.Tenant, id.ClientID), "client_id": id.ClientID, "resource": q.Get("resource"),
			"token_type": "Bearer", "expires_in": strconv.Itoa(int(life.Seconds())), "ext_expires_in": strconv.Itoa(int(life.Seconds())),
			"expires_on": strconv.FormatInt(now.Add(life).Unix(), 10), "not_before": strconv.FormatInt(now.Unix(), 10),
		})
	}
}

func metadataError(w http.ResponseWriter, text string) {
	writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_request", "error_description": text})
}
