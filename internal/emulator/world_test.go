package emulator_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

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
	cred := w.credentialWith(t, clientID, token, options)
	c, err := azsecrets.NewClient("https://"+host, cred, &azsecrets.ClientOptions{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w world) credential(t *testing.T, clientID string, options azcore.ClientOptions) azcore.TokenCredential {
	t.Helper()
	token, err := w.cluster.Token("shop", "api")
	if err != nil {
		t.Fatal(err)
	}
	return w.credentialWith(t, clientID, token, options)
}

func (w world) credentialWith(t *testing.T, clientID, token string, options azcore.ClientOptions) azcore.TokenCredential {
	t.Helper()
	cred, err := azidentity.NewClientAssertionCredential(emulator.DefaultTenant, clientID,
		func(context.Context) (string, error) { return token, nil },
		&azidentity.ClientAssertionCredentialOptions{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

func (w world) set(t *testing.T, host string, s emulator.Secret) string {
	t.Helper()
	version, err := w.SetSecret(host, s)
	if err != nil {
		t.Fatal(err)
	}
	return version
}
