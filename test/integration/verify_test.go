package integration

import (
	"encoding/json"
	"fmt"
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

const (
	shopVault = "shop.vault.azure.net"
	busyVault = "busy.vault.azure.net" // throttled
	// verifier is the identity of the webhook: it may read metadata of all vaults, and no value.
	verifier = "44444444-4444-4444-8444-444444444444"
)

// azureWorld is an emulator of Azure, and the token that the kubelet would project into the webhook's pod.
type azureWorld struct {
	*emulator.Emulator
	token string // file
}

func startAzure(t *testing.T) azureWorld {
	t.Helper()
	cluster, err := emulator.NewCluster("https://cluster.test")
	if err != nil {
		t.Fatal(err)
	}
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	e, err := emulator.Start(t.Context(), emulator.Config{Issuers: []emulator.Issuer{cluster.Issuer()}, Seed: emulator.Seed{
		Vaults: []emulator.Vault{{Host: busyVault}, {Host: shopVault, Secrets: []emulator.Secret{
			{Name: "db-password", Value: "v"}, {Name: "disabled-one", Value: "v", Disabled: true},
			{Name: "old", Value: "v", Expires: &past}, {Name: "later", Value: "v", NotBefore: &future}}}},
		Identities: []emulator.Identity{{ClientID: verifier, Roles: map[string]emulator.Role{"*": emulator.Reader},
			Federated: []emulator.Federated{{Subject: "system:serviceaccount:" + release + ":twelvefold-webhook"}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	e.Fail(busyVault, emulator.Fault{Status: 429, RetryAfter: time.Hour})
	token, err := cluster.Token(release, "twelvefold-webhook")
	if err != nil {
		t.Fatal(err)
	}
	w := azureWorld{e, filepath.Join(t.TempDir(), "token")}
	if err := os.WriteFile(w.token, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// flags give the webhook its identity.
func (w azureWorld) flags() []string {
	return []string{"--azure-client-id", verifier, "--azure-tenant-id", emulator.DefaultTenant, "--azure-token-file", w.token}
}

// policy leads the webhook to the emulator.
func (w azureWorld) policy(t *testing.T, verify string, labelled bool) {
	t.Helper()
	vault := func(host string) map[string]any {
		return map[string]any{"name": host, "namespaces": []string{"test-*"}}
	}
	spec, err := json.Marshal(map[string]any{"keyVault": map[string]any{"proxy": w.ProxyURL(), "trustedCA": string(w.CAPEM()),
		"rotationInterval": "10s", "verify": verify, "vaults": []any{vault(shopVault), vault(busyVault)}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := setPolicy(t, string(spec), labelled); err != nil {
		t.Fatal(err)
	}
}

// verified has users create pods and workloads whose references are wrong.
func verified(t *testing.T, webhook *process, w azureWorld) {
	ns := optedIn(t)
	const container = `{name: app, image: "app:1", env: [{name: DB, value: "@Microsoft.KeyVault(VaultName=%s;SecretName=%s)"}]}`
	object := func(template, vault, secret string) string {
		return strings.Replace(template, "CONTAINER", fmt.Sprintf(container, vault, secret), 1)
	}
	// create is what kubectl says about a pod.
	create := func(vault, secret string) (stderr string, code int) {
		_, stderr, code = kubectl(t, object("{apiVersion: v1, kind: Pod, metadata: {generateName: app-}, spec: {serviceAccountName: api, containers: [CONTAINER]}}", vault, secret),
			"create", "-n", ns, "-f", "-", "--dry-run=server")
		return stderr, code
	}
	w.policy(t, "warn", true)
	until(t, "the vaults were asked", func() bool {
		missing, _ := create("shop", "no-such-secret")
		unknown, _ := create("busy", "a")
		return strings.Contains(missing, "does not exist") && strings.Contains(unknown, "throttled")
	})

	t.Run("what is not in order warns", func(t *testing.T) {
		for secret, want := range map[string]string{
			"db-pasword":   "does not exist (did you mean db-password?)",
			"disabled-one": "is disabled",
			"old":          "expired at 20",
			"later":        "is not valid before 20",
		} {
			want = fmt.Sprintf(`Warning: III/keyvault spec.containers[name="app"].env[name="DB"].value: secret %s in vault %s %s`, secret, shopVault, want)
			if stderr, code := create("shop", secret); code != 0 || !strings.Contains(stderr, want) {
				t.Errorf("kubectl ends with %d and says:\n%swant %s", code, stderr, want)
			}
		}
		if stderr, code := create("shop", "DB-Password"); code != 0 || strings.Contains(stderr, "III/keyvault") {
			t.Errorf("what is in order: %d, %s", code, stderr)
		}
	})
	t.Run("so does a template", func(t *testing.T) {
		_, stderr, code := kubectl(t, object(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {selector: {matchLabels: {a: b}},
			template: {metadata: {labels: {a: b}}, spec: {serviceAccountName: api, containers: [CONTAINER]}}}}`, "shop", "db-pasword"), "apply", "-n", ns, "-f", "-")
		if want := `Warning: III/keyvault spec.template.spec.containers[name="app"].env[name="DB"].value: secret db-pasword in vault ` + shopVault +
			` does not exist (did you mean db-password?)`; code != 0 || !strings.Contains(stderr, want) {
			t.Errorf("kubectl ends with %d and says:\n%s", code, stderr)
		}
	})
	t.Run("deny refuses it, but not for a vault that can't be asked", func(t *testing.T) {
		w.policy(t, "deny", true)
		until(t, "it is refused", func() bool {
			stderr, code := create("shop", "db-pasword")
			return code != 0 && strings.Contains(stderr, `env[name="DB"].value: III/keyvault: secret db-pasword in vault `+shopVault+` does not exist (did you mean db-password?)`)
		})
		until(t, "the busy vault was asked again", func() bool {
			stderr, code := create("busy", "a")
			return code == 0 && strings.Contains(stderr, "secrets of vault "+busyVault+" are not verified: the vault is throttled")
		})
		if _, err := w.SetSecret(shopVault, emulator.Secret{Name: "db-pasword", Value: "v"}); err != nil {
			t.Fatal(err)
		}
		until(t, "what was created is admitted", func() bool {
			stderr, code := create("shop", "db-pasword")
			return code == 0 && !strings.Contains(stderr, "III/keyvault")
		})
	})
	t.Run("it reads metadata, and can read nothing else", func(t *testing.T) {
		asked := 0
		for _, r := range w.Requests() {
			if !strings.HasSuffix(r.Host, ".vault.azure.net") {
				continue
			}
			if asked++; r.Method != "GET" || r.Path != "/secrets" && !strings.HasSuffix(r.Path, "/versions") { // versions are for rollouts
				t.Errorf("it sent %s %s", r.Method, r.Path)
			}
		}
		if asked == 0 {
			t.Error("it asked nothing")
		}
		if err := w.read(t); err == nil || !strings.Contains(err.Error(), "Azure answers 403") {
			t.Errorf("reading a value: %v", err)
		}
	})
	metrics := webhook.get(t, "http://"+webhook.scrape+"/metrics")
	for _, want := range []string{`twelvefold_keyvault_lookups_total{state="missing"} `, `twelvefold_keyvault_lookups_total{state="unknown"} `,
		`twelvefold_keyvault_lists_total{result="ok"} `, `twelvefold_keyvault_lists_total{result="unreachable"} `} {
		if !strings.Contains(metrics, "\n"+want) {
			t.Errorf("no metric %s", want)
		}
	}
}

// read tries to read a value with all that the webhook has.
func (w azureWorld) read(t *testing.T) error {
	t.Helper()
	proxy, err := url.Parse(w.ProxyURL())
	if err != nil {
		t.Fatal(err)
	}
	http, err := azure.HTTPClient(func(*url.URL) (*url.URL, error) { return proxy, nil }, w.CAPEM())
	if err != nil {
		t.Fatal(err)
	}
	defer http.CloseIdleConnections()
	client, err := azure.New(azure.Config{HTTP: http, Identity: azure.Identity{ClientID: verifier, TenantID: emulator.DefaultTenant, TokenFile: w.token}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Fetch(t.Context(), []keyvault.Reference{{Vault: shopVault, Name: "db-password"}})
	return err
}
