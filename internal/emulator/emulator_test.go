package emulator_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/emulator"
)

const (
	shop    = "shop.vault.azure.net"
	api     = "22222222-2222-4222-8222-222222222222" // may read values
	auditor = "33333333-3333-4333-8333-333333333333" // may read metadata
	nobody  = "44444444-4444-4444-8444-444444444444" // may do nothing
	cluster = "https://kubernetes.default.svc.cluster.local"
)

// world is a running emulator and a cluster that it trusts.
type world struct {
	*emulator.Emulator
	cluster *emulator.Cluster
}

func start(t *testing.T) world {
	t.Helper()
	c, err := emulator.NewCluster(cluster)
	if err != nil {
		t.Fatal(err)
	}
	anyPod := []emulator.Federated{{Subject: "system:serviceaccount:shop:*"}}
	e, err := emulator.Start(t.Context(), emulator.Config{
		Issuers: []emulator.Issuer{c.Issuer()},
		Seed: emulator.Seed{
			Vaults: []emulator.Vault{{Host: shop}},
			Identities: []emulator.Identity{
				{ClientID: api, Federated: anyPod, Roles: map[string]emulator.Role{shop: emulator.SecretsUser}},
				{ClientID: auditor, Federated: anyPod, Roles: map[string]emulator.Role{shop: emulator.Reader}},
				{ClientID: nobody, Federated: anyPod},
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return world{e, c}
}

// http is a client that has nothing but the proxy and the authority.
func (w world) http(t *testing.T) *http.Client {
	t.Helper()
	proxy, err := url.Parse(w.ProxyURL())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(w.CAPEM()) {
		t.Fatal("CAPEM is no certificate")
	}
	tr := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// secrets is the real SDK as a pod of the service account shop:api would use it.
func (w world) secrets(t *testing.T, host, clientID string) *azsecrets.Client {
	t.Helper()
	token, err := w.cluster.Token("shop", "api")
	if err != nil {
		t.Fatal(err)
	}
	return w.secretsWith(t, host, clientID, token)
}

func (w world) secretsWith(t *testing.T, host, clientID, token string) *azsecrets.Client {
	t.Helper()
	options := azcore.ClientOptions{Transport: w.http(t), Retry: policy.RetryOptions{MaxRetries: -1}}
	if strings.HasSuffix(host, ".cn") {
		options.Cloud.ActiveDirectoryAuthorityHost = "https://login.chinacloudapi.cn/"
	}
	cred, err := azidentity.NewClientAssertionCredential(emulator.DefaultTenant, clientID,
		func(context.Context) (string, error) { return token, nil },
		&azidentity.ClientAssertionCredentialOptions{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	c, err := azsecrets.NewClient("https://"+host, cred, &azsecrets.ClientOptions{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w world) set(t *testing.T, host string, s emulator.Secret) string {
	t.Helper()
	version, err := w.SetSecret(host, s)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func TestGetSecret(t *testing.T) {
	w := start(t)
	old := w.set(t, shop, emulator.Secret{Name: "db-password", Value: "first"})
	w.set(t, shop, emulator.Secret{Name: "db-password", Value: "second"})
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	w.set(t, shop, emulator.Secret{Name: "expired", Value: "x", Expires: &past})
	w.set(t, shop, emulator.Secret{Name: "early", Value: "y", NotBefore: &future})
	c := w.secrets(t, shop, api)

	for _, tc := range []struct{ name, version, want string }{
		{"db-password", "", "second"},
		{"DB-Password", "", "second"},
		{"db-password", old, "first"},
		{"expired", "", "x"},
		{"early", "", "y"},
	} {
		got, err := c.GetSecret(t.Context(), tc.name, tc.version, nil)
		if err != nil {
			t.Fatalf("%s/%s: %v", tc.name, tc.version, err)
		}
		if *got.Value != tc.want {
			t.Errorf("%s/%s = %q, want %q", tc.name, tc.version, *got.Value, tc.want)
		}
	}
}

func TestSovereignCloud(t *testing.T) {
	w := start(t)
	const host = "shop.vault.azure.cn"
	w.set(t, host, emulator.Secret{Name: "a", Value: "v"})
	w.SetIdentity(emulator.Identity{ClientID: api, Federated: []emulator.Federated{{Subject: "*"}}, Roles: map[string]emulator.Role{"*": emulator.SecretsUser}})
	if _, err := w.secrets(t, host, api).GetSecret(t.Context(), "a", "", nil); err != nil {
		t.Fatal(err)
	}
}

func TestRefusals(t *testing.T) {
	w := start(t)
	w.set(t, shop, emulator.Secret{Name: "there", Value: "v"})
	w.set(t, shop, emulator.Secret{Name: "off", Value: "v", Disabled: true})
	const old = "old.vault.azure.net"
	w.AddVault(emulator.Vault{Host: old, AccessPolicies: true})

	for name, tc := range map[string]struct {
		host, client, secret, version string
		status                        int
		body                          string
	}{
		"no such secret":     {shop, api, "absent", "", 404, `"SecretNotFound"`},
		"no such version":    {shop, api, "there", strings.Repeat("0", 32), 404, `"SecretNotFound"`},
		"disabled":           {shop, api, "off", "", 403, `"SecretDisabled"`},
		"metadata only":      {shop, auditor, "there", "", 403, `"ForbiddenByRbac"`},
		"no role":            {shop, nobody, "there", "", 403, `"ForbiddenByRbac"`},
		"no access policy":   {old, api, "there", "", 403, `"AccessDenied"`},
		"impossible as name": {shop, api, "a_b", "", 400, `"BadParameter"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.secrets(t, tc.host, tc.client).GetSecret(t.Context(), tc.secret, tc.version, nil)
			var refusal *azcore.ResponseError
			if !errors.As(err, &refusal) {
				t.Fatalf("got %v, want a refusal", err)
			}
			if refusal.StatusCode != tc.status || !strings.Contains(refusal.Error(), tc.body) {
				t.Errorf("want %d with %s, got %v", tc.status, tc.body, refusal)
			}
		})
	}
}

func TestListsArePaged(t *testing.T) {
	w := start(t)
	var want []string
	for i := range 60 {
		name := "s" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		want = append(want, name)
		w.set(t, shop, emulator.Secret{Name: name, Value: "v"})
	}
	for range 29 {
		w.set(t, shop, emulator.Secret{Name: "saa", Value: "v"})
	}
	c := w.secrets(t, shop, auditor)

	var got []string
	pages := 0
	for p := c.NewListSecretPropertiesPager(nil); p.More(); pages++ {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page.Value {
			got = append(got, s.ID.Name())
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || pages != 3 {
		t.Errorf("%d pages (want 3), names (-want +got):\n%s", pages, diff)
	}

	versions := map[string]bool{}
	for p := c.NewListSecretPropertiesVersionsPager("saa", nil); p.More(); {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page.Value {
			versions[s.ID.Version()] = true
		}
	}
	if len(versions) != 30 {
		t.Errorf("got %d versions, want 30", len(versions))
	}
}

func TestFederatedToken(t *testing.T) {
	w := start(t)
	w.set(t, shop, emulator.Secret{Name: "a", Value: "v"})
	stranger, err := emulator.NewCluster(cluster) // same name, other key
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	good := jwt.Claims{
		Subject: "system:serviceaccount:shop:api", Audience: jwt.Audience{emulator.TokenAudience},
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Hour)),
	}
	with := func(change func(*jwt.Claims)) jwt.Claims { c := good; change(&c); return c }

	for name, tc := range map[string]struct {
		by     *emulator.Cluster
		client string
		claims jwt.Claims
		want   string // empty: accepted
	}{
		"good":             {w.cluster, api, good, ""},
		"unknown client":   {w.cluster, "55555555-5555-4555-8555-555555555555", good, "AADSTS700016"},
		"foreign key":      {stranger, api, good, "AADSTS700027"},
		"foreign issuer":   {w.cluster, api, with(func(c *jwt.Claims) { c.Issuer = "https://elsewhere" }), "AADSTS700211"},
		"other audience":   {w.cluster, api, with(func(c *jwt.Claims) { c.Audience = jwt.Audience{cluster} }), "AADSTS700212"},
		"other subject":    {w.cluster, api, with(func(c *jwt.Claims) { c.Subject = "system:serviceaccount:other:api" }), "AADSTS700213"},
		"expired":          {w.cluster, api, with(func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(now.Add(-time.Hour)) }), "AADSTS700024"},
		"not valid so far": {w.cluster, api, with(func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(now.Add(time.Hour)) }), "AADSTS700024"},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := tc.by.Sign(tc.claims)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.secretsWith(t, shop, tc.client, token).GetSecret(t.Context(), "a", "", nil)
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

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
