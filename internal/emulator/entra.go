package emulator

import (
	"fmt"
	"net/http"
	"strings"
)

// entraHosts are Entra ID's hosts in the public and the sovereign clouds.
var entraHosts = map[string]bool{
	"login.microsoftonline.com":        true,
	"login.microsoft.com":              true,
	"login.windows.net":                true,
	"sts.windows.net":                  true,
	"login.microsoftonline.us":         true,
	"login.chinacloudapi.cn":           true,
	"login.partner.microsoftonline.cn": true,
}

// entra plays the part of Entra ID that client credentials need.
func (e *Emulator) entra() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /common/discovery/instance", instanceDiscovery)
	mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", openIDConfiguration)
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", e.token)
	return mux
}

// instanceDiscovery confirms that the host is one of Entra's own.
func instanceDiscovery(w http.ResponseWriter, r *http.Request) {
	host := hostname(r.Host)
	writeJSON(w, http.StatusOK, map[string]any{
		"api-version":               "1.1",
		"tenant_discovery_endpoint": fmt.Sprintf("https://%s/common/v2.0/.well-known/openid-configuration", host),
		"metadata": []any{map[string]any{
			"preferred_network": host, "preferred_cache": host, "aliases": []string{host},
		}},
	})
}

func openIDConfiguration(w http.ResponseWriter, r *http.Request) {
	base := fmt.Sprintf("https://%s/%s", hostname(r.Host), r.PathValue("tenant"))
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                base + "/v2.0",
		"authorization_endpoint":                base + "/oauth2/v2.0/authorize",
		"token_endpoint":                        base + "/oauth2/v2.0/token",
		"token_endpoint_auth_methods_supported": []string{"private_key_jwt"},
		"response_types_supported":              []string{"token"},
		"subject_types_supported":               []string{"pairwise"},
	})
}

// token exchanges a service account's token, or a client secret, for an access token.
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow#third-case-access-token-request-with-a-federated-credential
func (e *Emulator) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		refuseToken(900144, "invalid_request", "The request body is malformed.").write(w)
		return
	}
	resource := resourceIn(r.PostForm.Get("scope"))
	switch {
	case r.PostForm.Get("grant_type") != "client_credentials":
		refuseToken(70003, "unsupported_grant_type", "The emulator plays client_credentials only.").write(w)
		return
	case resource == "":
		refuseToken(1002012, "invalid_scope", "The scope must end with /.default.").write(w)
		return
	case r.PostForm.Has("client_secret"):
	case r.PostForm.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
		refuseToken(7000216, "invalid_client", "A client_assertion or client_secret is required.").write(w)
		return
	}
	tenant, clientID := r.PathValue("tenant"), r.PostForm.Get("client_id")
	var refusal *entraError
	if r.PostForm.Has("client_secret") {
		refusal = e.verifySecret(tenant, clientID, r.PostForm.Get("client_secret"))
	} else {
		refusal = e.verifyFederated(r.Context(), tenant, clientID, r.PostForm.Get("client_assertion"))
	}
	if refusal != nil {
		refusal.write(w)
		return
	}
	identify(w, clientID)
	life := int(e.tokens.life.Seconds())
	writeJSON(w, http.StatusOK, map[string]any{
		"token_type": "Bearer", "expires_in": life, "ext_expires_in": life,
		"access_token": e.tokens.sign(resource, tenant, clientID),
	})
}

// verifySecret judges a client secret.
func (e *Emulator) verifySecret(tenant, clientID, secret string) *entraError {
	id, ok := e.store.identity(clientID)
	switch {
	case !ok || id.Tenant != tenant:
		return unknownApplication(tenant, clientID)
	case id.ClientSecret == "" || id.ClientSecret != secret:
		return refuseToken(7000215, "invalid_client", "Invalid client secret provided for app '%s'.", clientID)
	case id.ClientSecretExpired:
		return refuseToken(7000222, "invalid_client", "The provided client secret keys for app '%s' are expired.", clientID)
	}
	return nil
}

// resourceIn finds the scope that names a resource: the SDK adds openid and others.
func resourceIn(scopes string) string {
	for scope := range strings.FieldsSeq(scopes) {
		if resource, ok := strings.CutSuffix(scope, "/.default"); ok {
			return resource
		}
	}
	return ""
}
