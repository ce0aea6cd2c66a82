package emulator

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// action is a permission, by the name that Azure RBAC gives it.
type action string

const (
	readSecret       action = "Microsoft.KeyVault/vaults/secrets/getSecret/action"
	readMetadata     action = "Microsoft.KeyVault/vaults/secrets/readMetadata/action"
	readCertificates action = "Microsoft.KeyVault/vaults/certificates/read"
	readKeys         action = "Microsoft.KeyVault/vaults/keys/read"
)

// roles are what Azure's definitions of them allow, of what is played here.
var roles = map[Role][]action{
	SecretsUser:     {readSecret, readMetadata},
	CertificateUser: {readSecret, readMetadata, readCertificates, readKeys},
	CryptoUser:      {readKeys},
	Reader:          {readMetadata, readCertificates, readKeys},
}

// allows tells what a role may do.
func (r Role) allows(a action) bool { return slices.Contains(roles[r], a) }

// authorized lets a request through that carries our access token for the vault's cloud, of an identity with the permission.
func (e *Emulator) authorized(a action, next func(http.ResponseWriter, *http.Request, Vault)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		vault, ok := e.store.vaultSettings(hostname(r.Host))
		if !ok { // the tunnel was opened to another host
			http.Error(w, "no such vault", http.StatusMisdirectedRequest)
			return
		}
		if r.URL.Query().Get("api-version") == "" {
			vaultError{http.StatusBadRequest, "BadParameter", "", "The api-version is missing."}.write(w)
			return
		}
		clientID, ok := e.tokens.verify(bearer(r), vault.resource(), vault.Tenant)
		if !ok {
			challenge(w, vault)
			return
		}
		identify(w, clientID)
		if !e.may(clientID, vault.Host, a) {
			forbidden(vault, clientID, a, r.URL.Path).write(w)
			return
		}
		if wait := e.rates.exceeded(vault, e.now()); wait > 0 {
			throttled(w, wait)
			return
		}
		next(w, r, vault)
	}
}

func (e *Emulator) may(clientID, host string, a action) bool {
	id, _ := e.store.identity(clientID)
	return id.Roles[host].allows(a) || id.Roles["*"].allows(a)
}

func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

// challenge tells the client where to get a token, and for what.
// https://learn.microsoft.com/azure/key-vault/general/authentication-requests-and-responses
func challenge(w http.ResponseWriter, v Vault) {
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization="https://%s/%s", resource="%s"`, authorityOf(v.Host), v.Tenant, v.resource()))
	vaultError{http.StatusUnauthorized, "Unauthorized", "", "AKV10000: Request is missing a Bearer or PoP token."}.write(w)
}

// suffixOf is the DNS suffix of a vault's cloud.
func suffixOf(host string) string {
	_, suffix, _ := strings.Cut(host, ".")
	return suffix
}

// resource is the audience of tokens for the vault.
func (v Vault) resource() string { return cmp.Or(v.Resource, "https://"+suffixOf(v.Host)) }

// authorityOf is the Entra host of a vault's cloud.
func authorityOf(host string) string {
	switch suffixOf(host) {
	case "vault.azure.cn":
		return "login.chinacloudapi.cn"
	case "vault.usgovcloudapi.net":
		return "login.microsoftonline.us"
	}
	return "login.microsoftonline.com"
}
