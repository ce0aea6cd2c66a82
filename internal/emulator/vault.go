package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// vault is Key Vault's data plane for secrets, as far as reading goes.
// https://learn.microsoft.com/rest/api/keyvault/secrets/operation-groups
func (e *Emulator) vault() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /secrets", e.authorized(readMetadata, e.listSecrets))
	mux.HandleFunc("GET /secrets/{name}/versions", e.authorized(readMetadata, e.listVersions))
	mux.HandleFunc("GET /secrets/{name}", e.authorized(readValue, e.getSecret))
	mux.HandleFunc("GET /secrets/{name}/{version}", e.authorized(readValue, e.getSecret))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		vaultError{http.StatusNotFound, "NotFound", "", "The emulator plays no such operation: " + r.Method + " " + r.URL.Path}.write(w)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The SDK asks for the newest version with an empty last element, which the mux would redirect.
		r.URL.Path = strings.TrimSuffix(r.URL.Path, "/")
		mux.ServeHTTP(w, r)
	})
}

// getSecret answers with a value. Azure refuses disabled versions; it serves expired and not yet valid ones, whose dates
// are for the reader to heed (about-secrets, "Date-time controlled operations").
func (e *Emulator) getSecret(w http.ResponseWriter, r *http.Request, vault Vault) {
	name, want := r.PathValue("name"), r.PathValue("version")
	if !secretName.MatchString(name) {
		vaultError{http.StatusBadRequest, "BadParameter", "", "The request URI contains an invalid name: " + name}.write(w)
		return
	}
	v, ok := pick(e.store.all(vault.Host, name), want)
	switch {
	case !ok && want == "":
		secretNotFound(name).write(w)
	case !ok:
		secretNotFound(name + "/" + want).write(w)
	case v.Disabled:
		vaultError{http.StatusForbidden, "Forbidden", "SecretDisabled", "Operation get is not allowed on a disabled secret."}.write(w)
	default:
		b := v.bundle(vault.Host, true)
		b.Value = &v.Value
		writeJSON(w, http.StatusOK, b)
	}
}

// pick finds a version, the newest if none is named. The newest counts even if it is disabled: Azure doesn't look for an older one.
func pick(all []version, want string) (version, bool) {
	for i := len(all) - 1; i >= 0; i-- {
		if want == "" || strings.EqualFold(all[i].Version, want) {
			return all[i], true
		}
	}
	return version{}, false
}

// bundle is a secret or its metadata in the service's JSON.
type bundle struct {
	Value       *string           `json:"value,omitempty"`
	ID          string            `json:"id"`
	ContentType string            `json:"contentType,omitempty"`
	Attributes  attributes        `json:"attributes"`
	Tags        map[string]string `json:"tags,omitempty"`
}

// attributes holds times in seconds since 1970.
type attributes struct {
	Enabled         bool   `json:"enabled"`
	NotBefore       int64  `json:"nbf,omitempty"`
	Expires         int64  `json:"exp,omitempty"`
	Created         int64  `json:"created"`
	Updated         int64  `json:"updated"`
	RecoveryLevel   string `json:"recoveryLevel"`
	RecoverableDays int    `json:"recoverableDays"`
}

func (v version) bundle(host string, withVersion bool) bundle {
	b := bundle{
		ID: fmt.Sprintf("https://%s/secrets/%s", host, v.Name), ContentType: v.ContentType, Tags: v.Tags,
		Attributes: attributes{
			Enabled: !v.Disabled, Created: v.created.Unix(), Updated: v.created.Unix(), RecoveryLevel: "Recoverable+Purgeable", RecoverableDays: 90,
		},
	}
	if withVersion {
		b.ID += "/" + v.Version
	}
	if v.NotBefore != nil {
		b.Attributes.NotBefore = v.NotBefore.Unix()
	}
	if v.Expires != nil {
		b.Attributes.Expires = v.Expires.Unix()
	}
	return b
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache, no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}
