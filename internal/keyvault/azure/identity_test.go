package azure_test

import (
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/azure"
)

// The SDK keeps tokens of managed identities for the whole process: each test has an identity of its own.
const (
	assigned = "44444444-4444-4444-8444-444444444441"
	stranger = "44444444-4444-4444-8444-444444444442"
	busy     = "44444444-4444-4444-8444-444444444443"
)

// fetchAs reads the secret a as an identity from an environment.
func (w *world) fetchAs(t *testing.T, env map[string]string) error {
	t.Helper()
	w.set(t, emulator.Secret{Name: "a", Value: "v"})
	_, err := w.client(t, func(c *azure.Config) {
		c.Identity = azure.IdentityFromEnv(func(name string) string { return env[name] })
	}).Fetch(t.Context(), []keyvault.Reference{{Vault: shop, Name: "a"}})
	return err
}

// wantFailure checks the one failure's kind and that it says all of the texts.
func wantFailure(t *testing.T, err error, kind azure.Kind, texts ...string) {
	t.Helper()
	var failures azure.Failures
	if !errors.As(err, &failures) || len(failures) != 1 || failures[0].Kind != kind {
		t.Fatalf("got %v, want one failure of kind %d", err, kind)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("it does not say %q: %v", text, err)
		}
	}
}

var secretsUser = map[string]emulator.Role{"*": emulator.SecretsUser}

func TestManagedIdentity(t *testing.T) {
	w := start(t, emulator.SecretsUser)
	w.SetIdentity(emulator.Identity{ClientID: assigned, Managed: emulator.UserAssigned, Roles: secretsUser})
	w.SetIdentity(emulator.Identity{ClientID: stranger, Roles: secretsUser})
	env := func(client string) map[string]string {
		return map[string]string{"TWELVEFOLD_IDENTITY": "managed", "AZURE_CLIENT_ID": client, "AZURE_POD_IDENTITY_AUTHORITY_HOST": w.ProxyURL()}
	}
	if err := w.fetchAs(t, env(assigned)); err != nil {
		t.Error(err)
	}
	wantFailure(t, w.fetchAs(t, env(stranger)), azure.Denied, "identity "+stranger, "assign this managed identity to the scale set")
	wantFailure(t, w.fetchAs(t, env("")), azure.Denied, "system-assigned", "switch on the system-assigned identity")

	w.SetIdentity(emulator.Identity{ClientID: "system", Managed: emulator.SystemAssigned, Roles: secretsUser})
	if err := w.fetchAs(t, env("")); err != nil {
		t.Error(err)
	}
	for _, r := range w.Requests() {
		if r.Host == entra {
			t.Error("Entra ID was asked for a token")
		}
	}
}

func TestMetadataServiceInTrouble(t *testing.T) {
	w := start(t, emulator.SecretsUser)
	w.SetIdentity(emulator.Identity{ClientID: busy, Managed: emulator.UserAssigned, Roles: secretsUser})
	env := map[string]string{"TWELVEFOLD_IDENTITY": "managed", "AZURE_CLIENT_ID": busy, "AZURE_POD_IDENTITY_AUTHORITY_HOST": w.ProxyURL()}
	w.Fail(emulator.MetadataHost, emulator.Fault{Status: 403, Body: "unreachable", Times: 1})
	wantFailure(t, w.fetchAs(t, env), azure.Denied, "IMDS restriction")
	for _, status := range []int{429, 404, 503} { // it recovers
		w.Fail(emulator.MetadataHost, emulator.Fault{Status: status, Times: 1})
	}
	if err := w.fetchAs(t, env); err != nil {
		t.Error(err)
	}
	env["AZURE_CLIENT_ID"] = stranger
	env["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = "http://127.0.0.1:1" // nobody listens
	_, err := w.client(t, func(c *azure.Config) {
		c.Identity = azure.IdentityFromEnv(func(name string) string { return env[name] })
	}).Newest(t.Context(), secret("a"))
	var f *azure.Failure
	if !errors.As(err, &f) || f.Kind != azure.Unreachable || !f.Temporary() || !strings.Contains(err.Error(), "network policy") {
		t.Errorf("got %v", err)
	}
}

func TestServicePrincipal(t *testing.T) {
	w := start(t, emulator.SecretsUser)
	const client = "55555555-5555-4555-8555-555555555555"
	principal := emulator.Identity{ClientID: client, ClientSecret: "hush", Roles: secretsUser}
	w.SetIdentity(principal)
	dir := t.TempDir()
	env := map[string]string{"TWELVEFOLD_IDENTITY": "service-principal", "AZURE_TENANT_ID": emulator.DefaultTenant, "TWELVEFOLD_CREDENTIAL_DIR": dir}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wantFailure(t, w.fetchAs(t, env), azure.Configuration, "clientsecret", "keyVault.identity")
	write("clientsecret", "")
	wantFailure(t, w.fetchAs(t, env), azure.Configuration, "the file clientsecret is empty")
	write("clientsecret", "wrong\n")
	wantFailure(t, w.fetchAs(t, env), azure.Configuration, "there is no file clientid")
	write("clientid", client+"\n")
	wantFailure(t, w.fetchAs(t, env), azure.Denied, "identity "+client, "AADSTS7000215", "not that one's id")
	write("clientsecret", "hush\n")
	if err := w.fetchAs(t, env); err != nil {
		t.Error(err)
	}
	principal.ClientSecretExpired = true
	w.SetIdentity(principal)
	wantFailure(t, w.fetchAs(t, env), azure.Denied, "has expired (AADSTS7000222)", "make a new client secret")
	env["AZURE_CLIENT_ID"] = "66666666-6666-4666-8666-666666666666"
	wantFailure(t, w.fetchAs(t, env), azure.Denied, "AADSTS700016", "key clientid")
}

// A process that runs long finds the Secret rotated: the next token needs the new client secret.
func TestClientSecretIsReadForEachToken(t *testing.T) {
	const client = "55555555-5555-4555-8555-555555555556"
	w := startWith(t, emulator.Config{TokenLife: time.Second, Seed: emulator.Seed{Vaults: []emulator.Vault{{Host: shop}}}})
	w.set(t, emulator.Secret{Name: "a", Value: "v"})
	dir := t.TempDir()
	c := w.client(t, func(c *azure.Config) {
		c.Identity = azure.Identity{Kind: azure.ServicePrincipal, ClientID: client, TenantID: emulator.DefaultTenant, CredentialDir: dir}
	})
	rotate := func(value string) {
		t.Helper()
		w.SetIdentity(emulator.Identity{ClientID: client, ClientSecret: value, Roles: secretsUser})
		if err := os.WriteFile(filepath.Join(dir, "clientsecret"), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rotate("old")
	if _, err := c.Newest(t.Context(), secret("a")); err != nil {
		t.Fatal(err)
	}
	rotate("new")
	for deadline := time.Now().Add(time.Minute); w.tokens() < 2; time.Sleep(20 * time.Millisecond) { // until the token runs out
		if _, err := c.Newest(t.Context(), secret("a")); err != nil && strings.Contains(err.Error(), "AADSTS") || time.Now().After(deadline) {
			t.Fatalf("the new client secret is not used: %v", err)
		}
	}
}

func TestTokenProxyOfAKS(t *testing.T) {
	w := start(t, emulator.SecretsUser)
	var through *url.URL
	proxy := httptest.NewTLSServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			through = r.In.URL
			r.SetURL(&url.URL{Scheme: "https", Host: entra})
		},
		Transport: w.http(t).Transport,
	})
	defer proxy.Close()
	t.Setenv("AZURE_KUBERNETES_TOKEN_PROXY", proxy.URL)
	t.Setenv("AZURE_KUBERNETES_CA_DATA", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate().Raw})))
	env := map[string]string{"AZURE_CLIENT_ID": reader, "AZURE_TENANT_ID": emulator.DefaultTenant, "AZURE_FEDERATED_TOKEN_FILE": w.token}
	env["AZURE_KUBERNETES_TOKEN_PROXY"] = proxy.URL
	if err := w.fetchAs(t, env); err != nil {
		t.Error(err)
	}
	if through == nil {
		t.Error("no token came through the proxy")
	}
	proxy.Close()
	_, err := w.client(t, func(c *azure.Config) {
		c.Identity = azure.IdentityFromEnv(func(name string) string { return env[name] })
	}).Newest(t.Context(), secret("a"))
	var f *azure.Failure
	if !errors.As(err, &f) || f.Kind != azure.Unreachable || !f.Temporary() || !strings.Contains(err.Error(), "AKS's token proxy") {
		t.Errorf("got %v", err)
	}
}

func TestIdentityIsChecked(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"TWELVEFOLD_IDENTITY":        {"TWELVEFOLD_IDENTITY": "password"},
		"AZURE_CLIENT_ID":            {"TWELVEFOLD_IDENTITY": "workload"},
		"AZURE_TENANT_ID":            {"AZURE_CLIENT_ID": reader},
		"AZURE_FEDERATED_TOKEN_FILE": {"AZURE_CLIENT_ID": reader, "AZURE_TENANT_ID": emulator.DefaultTenant},
		"TWELVEFOLD_CREDENTIAL_DIR":  {"TWELVEFOLD_IDENTITY": "service-principal", "AZURE_TENANT_ID": emulator.DefaultTenant},
	} {
		_, err := azure.New(azure.Config{Identity: azure.IdentityFromEnv(func(name string) string { return env[name] })})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
