package emulator_test

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"twelvefold.dev/internal/emulator"
)

// The keys of a real cluster stand behind TLS under its own authority, for those who show a service account's token.
func TestKeySources(t *testing.T) {
	c, err := emulator.NewCluster(cluster)
	if err != nil {
		t.Fatal(err)
	}
	set, err := c.Issuer().Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	apiServer := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer mine" {
			http.Error(w, "forbidden", http.StatusForbidden)
			return
		}
		w.Write(jwks)
	}))
	defer apiServer.Close()
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := write("ca.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: apiServer.Certificate().Raw}))
	token := write("token", []byte("mine\n"))
	empty := write("empty", nil)

	for name, tc := range map[string]struct {
		source emulator.KeySource
		want   string // of the error
	}{
		"file":           {emulator.KeysFromFile(write("jwks.json", jwks)), ""},
		"no file":        {emulator.KeysFromFile(filepath.Join(dir, "absent")), "absent"},
		"not JSON":       {emulator.KeysFromFile(ca), "invalid character"},
		"URL":            {emulator.KeysFromURL(apiServer.URL, ca, token), ""},
		"without token":  {emulator.KeysFromURL(apiServer.URL, ca, ""), "403"},
		"without the CA": {emulator.KeysFromURL(apiServer.URL, empty, token), "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.source(t.Context())
			switch {
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			case tc.want == "" && (err != nil || len(got.Keys) != 1 || !got.Keys[0].Valid()):
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}
