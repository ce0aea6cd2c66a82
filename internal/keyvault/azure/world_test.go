package azure_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/azure"
)

const (
	shop   = "shop.vault.azure.net"
	entra  = "login.microsoftonline.com"
	issuer = "https://kubernetes.default.svc.cluster.local"
	reader = "22222222-2222-4222-8222-222222222222"
)

// world is a running emulator, and a cluster that it trusts.
type world struct {
	*emulator.Emulator
	cluster *emulator.Cluster
	token   string // file
}

// aCluster is one for all tests, since making its key takes a while.
var aCluster = sync.OnceValues(func() (*emulator.Cluster, error) { return emulator.NewCluster(issuer) })

// start runs an emulator with a vault that the identity reader may use by the role.
func start(t testing.TB, role emulator.Role) *world {
	t.Helper()
	return startWith(t, emulator.Config{Seed: emulator.Seed{
		Vaults:     []emulator.Vault{{Host: shop}},
		Identities: []emulator.Identity{{ClientID: reader, Federated: []emulator.Federated{{Subject: "*"}}, Roles: map[string]emulator.Role{"*": role}}},
	}})
}

func startWith(t testing.TB, c emulator.Config) *world {
	t.Helper()
	cluster, err := aCluster()
	if err != nil {
		t.Fatal(err)
	}
	c.Issuers = []emulator.Issuer{cluster.Issuer()}
	e, err := emulator.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	token, err := cluster.Token("shop", "api")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{e, cluster, filepath.Join(t.TempDir(), "token")}
	if err := os.WriteFile(w.token, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// quick are retries for tests.
var quick = azure.Retry{Delay: time.Millisecond, MaxDelay: 4 * time.Millisecond, Timeout: 5 * time.Second}

// client is a pod's client: workload identity, the emulator's proxy and authority. change may change its settings.
func (w *world) client(t testing.TB, change func(*azure.Config)) *azure.Client {
	t.Helper()
	c := azure.Config{
		Identity: azure.Identity{ClientID: reader, TenantID: emulator.DefaultTenant, TokenFile: w.token},
		Retry:    quick,
	}
	c.HTTP = w.http(t)
	if change != nil {
		change(&c)
	}
	client, err := azure.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// http reaches the emulator.
func (w *world) http(t testing.TB) *http.Client {
	t.Helper()
	proxy, err := url.Parse(w.ProxyURL())
	if err != nil {
		t.Fatal(err)
	}
	client, err := azure.HTTPClient(func(*url.URL) (*url.URL, error) { return proxy, nil }, w.CAPEM())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func (w *world) set(t testing.TB, s emulator.Secret) (version string) {
	t.Helper()
	version, err := w.SetSecret(shop, s)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// count tells how many requests for paths of the vault were answered with a status.
func (w *world) count(status int, path string) (n int) {
	for _, r := range w.Requests() {
		if r.Host == shop && r.Status == status && r.Path == path {
			n++
		}
	}
	return n
}

// answers counts the vault's answers of a status.
func (w *world) answers(status int) (n int) {
	for _, r := range w.Requests() {
		if r.Host == shop && r.Status == status {
			n++
		}
	}
	return n
}

// tokens counts the requests for tokens to Entra ID.
func (w *world) tokens() (n int) {
	for _, r := range w.Requests() {
		if r.Method == http.MethodPost {
			n++
		}
	}
	return n
}

func secret(name string) keyvault.Object { return keyvault.Object{Vault: shop, Name: name} }
