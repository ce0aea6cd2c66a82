package catalog

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/azure"
)

// throttling is what Azure's client makes of a 429 that asks for 90 seconds.
func throttling(t *testing.T) error {
	t.Helper()
	const client = "22222222-2222-4222-8222-222222222222"
	cluster, err := emulator.NewCluster("https://cluster.test")
	if err != nil {
		t.Fatal(err)
	}
	e, err := emulator.Start(t.Context(), emulator.Config{Issuers: []emulator.Issuer{cluster.Issuer()}, Seed: emulator.Seed{
		Vaults: []emulator.Vault{{Host: shop}},
		Identities: []emulator.Identity{{ClientID: client, Federated: []emulator.Federated{{Subject: "*"}},
			Roles: map[string]emulator.Role{shop: emulator.Reader}}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	token, err := cluster.Token("twelvefold", "twelvefold-webhook")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy, err := url.Parse(e.ProxyURL())
	if err != nil {
		t.Fatal(err)
	}
	http, err := azure.HTTPClient(func(*url.URL) (*url.URL, error) { return proxy, nil }, e.CAPEM())
	if err != nil {
		t.Fatal(err)
	}
	defer http.CloseIdleConnections()
	c, err := azure.New(azure.Config{HTTP: http, Identity: azure.Identity{ClientID: client, TenantID: emulator.DefaultTenant, TokenFile: file}})
	if err != nil {
		t.Fatal(err)
	}
	e.Fail(shop, emulator.Fault{Status: 429, RetryAfter: 90 * time.Second})
	_, err = c.List(t.Context(), shop, keyvault.SecretType, 1)
	if err == nil {
		t.Fatal("it was not throttled")
	}
	return err
}
