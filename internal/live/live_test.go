package live_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"twelvefold.dev/internal/live"
)

// connect is a cluster whose API server answers with the handler.
func connect(t *testing.T, serve http.HandlerFunc, insecure bool) *live.Cluster {
	t.Helper()
	server := httptest.NewTLSServer(serve)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	config := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "a", "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
"clusters": [{"name": "a", "cluster": {"server": %q, "insecure-skip-tls-verify": %t}}], "users": [{"name": "a", "user": {"token": "a"}}]}`, server.URL, insecure)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cluster, err := live.Connect(file, "")
	if err != nil {
		t.Fatal(err)
	}
	return cluster
}

func TestErrorsSayWhatToDo(t *testing.T) {
	expired := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/version" { // which anyone may ask for
			fmt.Fprint(w, `{"major": "1", "minor": "37"}`)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Unauthorized", "code": 401, "message": "Unauthorized"}`)
	}
	for name, test := range map[string]struct {
		serve    http.HandlerFunc
		insecure bool
		want     string
	}{
		"expired credentials": {expired, true, " does not accept the kubeconfig's credentials: they have expired, or are another cluster's; log in anew (az login, kubelogin)"},
		"another CA":          {expired, false, " is not trusted: "},
		"no Kubernetes":       {http.NotFound, true, "the server could not find the requested resource"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := connect(t, test.serve, test.insecure).Kubernetes(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v; want %s", err, test.want)
			}
		})
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cluster := connect(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // an answer could overtake the end of the connection
	}, true)
	if _, _, err := cluster.Kubernetes(ctx); err == nil || err.Error() != "interrupted" {
		t.Errorf("error %v", err)
	}
}
