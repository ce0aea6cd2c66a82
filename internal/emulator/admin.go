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
//	PUT    /identities                   an [Identity] as JSON
//	PUT    /faults/HOST                  a [Fault] as JSON
//	DELETE /faults/HOST                  heal the host
func (e *Emulator) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /ca.pem", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		w.Write(e.ca.pem)
	})
	mux.HandleFunc("GET /requests", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, e.Requests()) })
	mux.HandleFunc("PUT /vaults/{host}/secrets", put(func(r *http.Request, s Secret) error {
		_, err := e.SetSecret(r.PathValue("host"), s)
		return err
	}))
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
