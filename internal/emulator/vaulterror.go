package emulator

import (
	"fmt"
	"net/http"
	"strings"
)

// vaultError is a refusal in Key Vault's JSON. The inner code says which of the many kinds of 403 it is.
// https://learn.microsoft.com/azure/key-vault/general/rest-error-codes
type vaultError struct {
	status               int
	code, inner, message string
}

func (e vaultError) write(w http.ResponseWriter) {
	type inner struct {
		Code string `json:"code"`
	}
	var body struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
			Inner   *inner `json:"innererror,omitempty"`
		} `json:"error"`
	}
	body.Error.Code, body.Error.Message = e.code, e.message
	if e.inner != "" {
		body.Error.Inner = &inner{e.inner}
	}
	writeJSON(w, e.status, body)
}

func notFound(k kind, id string) vaultError {
	what := k.singular()
	return vaultError{http.StatusNotFound, strings.ToUpper(what[:1]) + what[1:] + "NotFound", "",
		fmt.Sprintf("A %s with (name/id) %s was not found in this key vault.", what, id)}
}

// forbidden is the refusal in the words of the vault's permission model.
func forbidden(v Vault, clientID string, a action, path string) vaultError {
	if v.AccessPolicies {
		return vaultError{http.StatusForbidden, "Forbidden", "AccessDenied", fmt.Sprintf(
			"The user, group or application 'appid=%s' does not have %s get permission on key vault '%s'.", clientID, strings.Split(path, "/")[1], v.Host)}
	}
	return vaultError{http.StatusForbidden, "Forbidden", "ForbiddenByRbac", fmt.Sprintf(
		"Caller is not authorized to perform action on resource.\r\nCaller: appid=%s\r\nAction: '%s'\r\nResource: '%s%s'\r\nVault: %s\r\n",
		clientID, a, v.Host, path, v.Host)}
}
