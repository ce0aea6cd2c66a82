package server

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// check is a condition of readiness. It fails with the reason.
type check struct {
	name string
	ok   func(*http.Request) error
	note func() error // what should be known though it is no reason to be unready; may be nil
}

// healthServer serves /healthz, which says that the process lives, and /readyz, which says what it waits for, and
// whether the policy ConfigMap has no effect.
func healthServer(address string, checks []check) (manager.Runnable, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("health server: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		var text strings.Builder
		code := http.StatusOK
		for _, c := range checks {
			err := c.ok(r)
			if err != nil {
				code = http.StatusServiceUnavailable
			} else if c.note != nil {
				err = c.note()
			}
			fmt.Fprintf(&text, "%s: %v\n", c.name, orOK(err))
		}
		w.WriteHeader(code)
		fmt.Fprint(w, text.String())
	})
	return &manager.Server{Name: "health", Listener: listener, Server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}}, nil
}

func orOK(err error) error {
	if err == nil {
		return errors.New("ok")
	}
	return err
}
