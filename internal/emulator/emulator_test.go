package emulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/emulator"
)

func TestFaults(t *testing.T) {
	w := start(t)
	w.set(t, shop, emulator.Secret{Name: "a", Value: "v"})
	client := w.http(t)
	get := func() (*http.Response, error) {
		res, err := client.Get("https://" + shop + "/secrets/a?api-version=7.6")
		if err == nil {
			res.Body.Close()
		}
		return res, err
	}

	w.Fail(shop, emulator.Fault{Status: 429, RetryAfter: 1500 * time.Millisecond, Times: 1})
	if res, err := get(); err != nil || res.StatusCode != 429 || res.Header.Get("Retry-After") != "2" {
		t.Errorf("429: got %v, %v", res, err)
	}
	if res, err := get(); err != nil || res.StatusCode != 401 {
		t.Errorf("after the fault: got %v, %v", res, err)
	}
	w.Fail(shop, emulator.Fault{Down: true})
	if _, err := get(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("down: got %v, want a reset", err)
	}
	w.Heal(shop)
	w.Fail(shop, emulator.Fault{Delay: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", "https://"+shop+"/secrets/a", nil)
	if _, err := client.Do(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("slow: got %v", err)
	}
}

func TestRequestLogKnowsWhoAndWhatButNoValue(t *testing.T) {
	w := start(t)
	w.set(t, shop, emulator.Secret{Name: "a", Value: "s3cret-value"})
	if _, err := w.secrets(t, shop, api).GetSecret(t.Context(), "a", "", nil); err != nil {
		t.Fatal(err)
	}
	got := slices.DeleteFunc(w.Requests(), func(r emulator.Request) bool { return r.Method != "POST" && r.Host != shop })
	want := []emulator.Request{
		{Method: "GET", Host: shop, Path: "/secrets/a/", Status: 401},
		{Method: "POST", Host: "login.microsoftonline.com", Path: "/" + emulator.DefaultTenant + "/oauth2/v2.0/token", ClientID: api, Status: 200},
		{Method: "GET", Host: shop, Path: "/secrets/a/", ClientID: api, Status: 200},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	text, _ := json.Marshal(w.Requests())
	if strings.Contains(string(text), "s3cret-value") || strings.Contains(string(text), "eyJ") {
		t.Errorf("the log holds a value or a token: %s", text)
	}
}

func TestUnknownHostIsNotReachable(t *testing.T) {
	w := start(t)
	for _, host := range []string{"absent.vault.azure.net", "example.com"} {
		if res, err := w.http(t).Get("https://" + host); err == nil {
			t.Errorf("%s answers %s", host, res.Status)
		}
	}
}

func TestAdmin(t *testing.T) {
	w := start(t)
	do := func(method, path, body string) (int, string) {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), method, w.ProxyURL()+path, strings.NewReader(body))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(text)
	}
	if _, ca := do("GET", "/ca.pem", ""); ca != string(w.CAPEM()) {
		t.Error("GET /ca.pem differs from CAPEM")
	}
	for _, tc := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/healthz", "", 204},
		{"PUT", "/vaults/" + shop + "/secrets", `{"name": "new", "value": "v"}`, 204},
		{"PUT", "/vaults/" + shop + "/secrets", `{"name": "a b", "value": "v"}`, 400},
		{"PUT", "/vaults/" + shop + "/secrets", `{"nome": "a"}`, 400},
		{"PUT", "/identities", `{"clientID": "` + nobody + `", "federated": [{"subject": "*"}], "roles": {"*": "Key Vault Secrets User"}}`, 204},
		{"PUT", "/vaults/" + shop + "/certificates", `{"name": "tls", "keyType": "EC", "intermediate": true}`, 204},
		{"PUT", "/vaults/" + shop + "/keys", `{"name": "sign", "keyType": "EC"}`, 204},
		{"PUT", "/vaults/" + shop + "/keys", `{"name": "sign", "keyType": "oct"}`, 400},
		{"PUT", "/vaults", `{"host": "` + shop + `", "rate": {"requests": 100, "window": 1000000000}}`, 204},
		{"DELETE", "/vaults/" + shop + "/secrets/absent", "", 204},
		{"POST", "/ca", "", 204},
		{"GET", "/metadata/identity/oauth2/token", "", 400},
		{"PUT", "/faults/" + shop, `{"status": 503, "times": 1, "path": "/nowhere"}`, 204},
		{"GET", "/nowhere", "", 404},
	} {
		if got, text := do(tc.method, tc.path, tc.body); got != tc.want {
			t.Errorf("%s %s: %d %s, want %d", tc.method, tc.path, got, text, tc.want)
		}
	}
	if _, err := w.secrets(t, shop, nobody).GetSecret(t.Context(), "new", "", nil); err != nil {
		t.Error(err)
	}
	if code, log := do("GET", "/requests", ""); code != 200 || !strings.Contains(log, "/secrets/new/") {
		t.Errorf("GET /requests: %d %s", code, log)
	}
	if code, _ := do("DELETE", "/faults/"+shop, ""); code != 204 {
		t.Errorf("DELETE /faults: %d", code)
	}
}

func TestLoadSeed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "seed.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`
vaults:
- host: shop.vault.azure.net
  secrets: [{name: a, value: v, expires: "2030-01-02T03:04:05Z"}]
identities:
- clientID: x
  federated: [{subject: "system:serviceaccount:shop:api"}]
  roles: {shop.vault.azure.net: Key Vault Reader}
`)
	got, err := emulator.LoadSeed(file)
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	want := emulator.Seed{
		Vaults: []emulator.Vault{{Host: shop, Secrets: []emulator.Secret{{Name: "a", Value: "v", Expires: &day}}}},
		Identities: []emulator.Identity{{
			ClientID: "x", Federated: []emulator.Federated{{Subject: "system:serviceaccount:shop:api"}},
			Roles: map[string]emulator.Role{shop: emulator.Reader},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	write("vaults: [{hots: x}]")
	if _, err := emulator.LoadSeed(file); err == nil || !strings.Contains(err.Error(), "hots") {
		t.Errorf("a typo passes: %v", err)
	}
}
