package emulator

import (
	"encoding/json"
	"net/http"
)

// admin is the interface for tests, over plain HTTP and without authentication:
//
//	GET    /healthz                      the emulator is up
//	GET    /ca.pem                       the authority to trust
//	GET    /requests                     the request log as JSON
//	PUT    /vaults/HOST/secrets          a [Secret] as JSON: a new version
//	DELETE /vaults/HOST/secrets/NAME     all versions of a secret
//	PUT    /vaults/HOST/certificates     a [Certificate] as JSON: a new version
//	PUT    /vaults/HOST/keys             a [Key] as JSON: a new version
//	PUT    /vaults                       a [Vault] as JSON, without its objects: the settings of a new or old one
//	PUT    /identities                   an [Identity] as JSON
//	POST   /ca                           certificates come from a new authority from now on
//	PUT    /faults/HOST                  a [Fault] as JSON
//	DELETE /faults/HOST                  heal the host
func (e *Emulator) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /ca.pem", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		w.Write(e.CAPEM())
	})
	mux.HandleFunc("GET /requests", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, e.Requests()) })
	mux.HandleFunc("PUT /vaults/{host}/secrets", put(func(r *http.Request, s Secret) error {
		_, err := e.SetSecret(r.PathValue("host"), s)
		return err
	}))
	mux.HandleFunc("DELETE /vaults/{host}/secrets/{name}", func(w http.ResponseWriter, r *http.Request) {
		e.DeleteSecret(r.PathValue("host"), r.PathValue("name"))
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("PUT /vaults/{host}/certificates", put(func(r *http.Request, c Certificate) error {
		_, err := e.SetCertificate(r.PathValue("host"), c)
		return err
	}))
	mux.HandleFunc("PUT /vaults/{host}/keys", put(func(r *http.Request, k Key) error {
		_, err := e.SetKey(r.PathValue("host"), k)
		return err
	}))
	mux.HandleFunc("PUT /vaults", put(func(_ *http.Request, v Vault) error { e.AddVault(v); return nil }))
	mux.HandleFunc("POST /ca", func(w http.ResponseWriter, _ *http.Request) {
		if err := e.RotateCA(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /metadata/identity/oauth2/token", e.metadataToken)
	mux.HandleFunc("PUT /identities", put(func(_ *http.Request, i Identity) error { e.SetIdentity(i); return nil }))
	mux.HandleFunc("PUT /faults/{host}", put(func(r *http.Request, f Fault) error { e.Fail(r.PathValue("host"), f); return nil }))
	mux.HandleFunc("DELETE /faults/{host}", func(w http.ResponseWriter, r *http.Request) {
		e.Heal(r.PathValue("host"))
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// put decodes a body strictly and applies it.
func put[T any](apply func(*http.Request, T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body T
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		d.DisallowUnknownFields()
		err := d.Decode(&body)
		if err == nil {
			err = apply(r, body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
