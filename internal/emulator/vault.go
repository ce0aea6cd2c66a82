package emulator

import (
	"encoding/json"
	"net/http"
	"strings"
)

type handler func(http.ResponseWriter, *http.Request, Vault)

// vault is Key Vault's data plane, as far as reading goes.
// https://learn.microsoft.com/rest/api/keyvault
func (e *Emulator) vault() http.Handler {
	mux := http.NewServeMux()
	for k, allowed := range map[kind]struct{ list, get action }{
		secrets: {readMetadata, readSecret}, certificates: {readCertificates, readCertificates}, keys: {readKeys, readKeys},
	} {
		mux.HandleFunc("GET /"+string(k), e.authorized(allowed.list, e.list(k)))
		mux.HandleFunc("GET /"+string(k)+"/{name}/versions", e.authorized(allowed.list, e.listVersions(k)))
		mux.HandleFunc("GET /"+string(k)+"/{name}", e.authorized(allowed.get, e.get(k)))
		mux.HandleFunc("GET /"+string(k)+"/{name}/{version}", e.authorized(allowed.get, e.get(k)))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		vaultError{http.StatusNotFound, "NotFound", "", "The emulator plays no such operation: " + r.Method + " " + r.URL.Path}.write(w)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The SDK asks for the newest version with an empty last element, which the mux would redirect.
		r.URL.Path = strings.TrimSuffix(r.URL.Path, "/")
		mux.ServeHTTP(w, r)
	})
}

// get answers with an object. Azure refuses disabled versions, but of certificates; it serves expired and not yet valid ones, whose dates
// are for the reader to heed (about-secrets, "Date-time controlled operations").
func (e *Emulator) get(k kind) handler {
	return func(w http.ResponseWriter, r *http.Request, vault Vault) {
		name, want := r.PathValue("name"), r.PathValue("version")
		if !objectName.MatchString(name) {
			vaultError{http.StatusBadRequest, "BadParameter", "", "The request URI contains an invalid name: " + name}.write(w)
			return
		}
		v, ok := pick(e.store.all(vault.Host, k, name), want)
		switch {
		case !ok && want == "":
			notFound(k, name).write(w)
		case !ok:
			notFound(k, name+"/"+want).write(w)
		case v.Disabled && k == secrets:
			vaultError{http.StatusForbidden, "Forbidden", "SecretDisabled", "Operation get is not allowed on a disabled secret."}.write(w)
		case v.Disabled && k == keys:
			vaultError{http.StatusForbidden, "Forbidden", "KeyDisabled", "Operation get is not allowed on a disabled key."}.write(w)
		default:
			writeJSON(w, http.StatusOK, v.bundle(k, vault.Host))
		}
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

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache, no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}
