package server

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"golang.org/x/net/http/httpproxy"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/azure"
	"twelvefold.dev/internal/keyvault/catalog"
	"twelvefold.dev/internal/mutate"
	"twelvefold.dev/internal/policy"
)

// azureAccess is the webhook's own way to Azure. The process has one client, so that each vault is signed in to once; it is made
// anew when the policy changes how Azure is reached.
type azureAccess struct {
	identity azure.Identity
	policy   func() *policy.Policy
	log      *slog.Logger

	mu     sync.Mutex
	way    way
	client *azure.Client
}

// way is how Azure is reached.
type way struct {
	proxy, trustedCA, authority string
}

// newAzureAccess is nil if the webhook has no identity.
func newAzureAccess(o Options, inForce func() *policy.Policy, log *slog.Logger) (*azureAccess, error) {
	id := azure.Identity{ClientID: o.AzureClientID, TenantID: o.AzureTenantID, TokenFile: o.AzureTokenFile}
	if id == (azure.Identity{}) {
		return nil, nil
	}
	if id.ClientID == "" || id.TenantID == "" || id.TokenFile == "" {
		return nil, errors.New("--azure-client-id, --azure-tenant-id and --azure-token-file: set all of them, or none")
	}
	return &azureAccess{identity: id, policy: inForce, log: log}, nil
}

// Client is the client for the policy in force.
func (a *azureAccess) Client() (*azure.Client, error) {
	kv := a.policy().Spec().KeyVault
	a.mu.Lock()
	defer a.mu.Unlock()
	wanted := way{kv.Proxy, kv.TrustedCA, mutate.AuthorityHost(kv)}
	if a.client != nil && a.way == wanted {
		return a.client, nil
	}
	client, err := a.connect(wanted)
	if err != nil {
		return nil, err
	}
	if a.client != nil {
		a.client.HTTP.CloseIdleConnections()
	}
	a.client, a.way = client, wanted
	return client, nil
}

func (a *azureAccess) connect(by way) (*azure.Client, error) {
	proxy := httpproxy.FromEnvironment()
	proxy.HTTPSProxy = cmp.Or(by.proxy, proxy.HTTPSProxy)
	http, err := azure.HTTPClient(proxy.ProxyFunc(), []byte(by.trustedCA))
	if err != nil {
		return nil, fmt.Errorf("the policy's keyVault.trustedCA: %w", err)
	}
	id := a.identity
	id.AuthorityHost = by.authority
	return azure.New(azure.Config{Identity: id, HTTP: http, Log: a.log})
}

// lister is the client for the catalogue.
func (a *azureAccess) lister() (catalog.Lister, error) {
	client, err := a.Client()
	if err != nil {
		return nil, err
	}
	return client, nil
}

// verifiedVaults are the hosts that the catalogue keeps ready under a policy.
func verifiedVaults(p *policy.Policy) (hosts []string) {
	kv := p.Spec().KeyVault
	if kv.Verify != nil && *kv.Verify == policy.Off {
		return nil
	}
	names := keyvault.Hosts{Cloud: kv.Cloud, Suffixes: kv.DNSSuffixes}
	for _, v := range kv.Vaults {
		if host, err := names.Host(v.Name); err == nil { // a policy with another name was refused
			hosts = append(hosts, host)
		}
	}
	return hosts
}
