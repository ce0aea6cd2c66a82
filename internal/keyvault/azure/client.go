// Package azure reads secrets, certificates and public keys from Azure Key Vault with Azure's own SDK.
//
// The credential is constructed explicitly: DefaultAzureCredential's probing is slow, and nobody knows which identity
// it ends up with. The SDK's check that a challenge's resource matches the vault's domain stays on. There is one client per vault, so that
// a vault's 401 challenge is paid once. Retries are this package's own (see retry.go); the SDK's are off, since they know neither
// the deadline nor jitter after Retry-After.
package azure

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

// Config says who reads and how. Identity and HTTP are required.
type Config struct {
	Identity Identity
	HTTP     *http.Client // see [HTTPClient]
	Log      *slog.Logger // progress: names, never values; default none
	Now      func() time.Time
	Retry    Retry
}

// Client reads secrets as one identity. Its methods may be called from several goroutines.
type Client struct {
	Config
	mu          sync.Mutex
	vaults      map[string]*vault                 // by host
	credentials map[string]azcore.TokenCredential // by authority
}

// New checks the identity. It sends nothing.
func New(c Config) (*Client, error) {
	if err := c.Identity.validate(); err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Retry = c.Retry.withDefaults()
	return &Client{Config: c, vaults: map[string]*vault{}, credentials: map[string]azcore.TokenCredential{}}, nil
}

// vault is the SDK's clients of one vault.
type vault struct {
	secrets      *azsecrets.Client
	certificates *azcertificates.Client
	keys         *azkeys.Client
	turn         chan struct{} // see enter
	authorized   atomic.Bool   // the vault has answered a request that carried a token it trusts
	unlistable   sync.Map      // by type: the objects that the identity may read but not list
}

func (c *Client) vault(host string) (*vault, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.vaults[host]; v != nil {
		return v, nil
	}
	authority := cmp.Or(c.Identity.AuthorityHost, authorityOf(host))
	options := azcore.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: authority},
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Transport: transport{c.HTTP},
		Telemetry: policy.TelemetryOptions{ApplicationID: "twelvefold"},
	}
	if c.credentials[authority] == nil {
		credential, err := c.Identity.credential(options)
		if err != nil {
			return nil, err
		}
		c.credentials[authority] = credential
	}
	options.Transport = &challenges{Transporter: options.Transport}
	v, err := newVault("https://"+host, c.credentials[authority], options)
	if err != nil {
		return nil, err
	}
	c.vaults[host] = v
	return v, nil
}

func newVault(url string, credential azcore.TokenCredential, options azcore.ClientOptions) (*vault, error) {
	v := &vault{turn: make(chan struct{}, 1)}
	var errs [3]error
	v.secrets, errs[0] = azsecrets.NewClient(url, credential, &azsecrets.ClientOptions{ClientOptions: options})
	v.certificates, errs[1] = azcertificates.NewClient(url, credential, &azcertificates.ClientOptions{ClientOptions: options})
	v.keys, errs[2] = azkeys.NewClient(url, credential, &azkeys.ClientOptions{ClientOptions: options})
	return v, cmp.Or(errs[:]...)
}

// forget drops a vault's clients and the credential, so that the next attempt signs in anew.
func (c *Client) forget(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.vaults, host)
	delete(c.credentials, cmp.Or(c.Identity.AuthorityHost, authorityOf(host)))
}

// enter waits for the turn to send a request; leave ends the turn. Until the vault has answered one, requests go out one at a time:
// the SDK would pay for a challenge per request in flight.
func (v *vault) enter(ctx context.Context) (leave func(), err error) {
	if v.authorized.Load() {
		return func() {}, nil
	}
	select {
	case v.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	leave = sync.OnceFunc(func() { <-v.turn })
	if v.authorized.Load() {
		leave()
	}
	return leave, nil
}

// authorityOf is the token issuer of a vault's cloud.
func authorityOf(host string) string {
	switch suffix(host) {
	case "vault.azure.cn":
		return cloud.AzureChina.ActiveDirectoryAuthorityHost
	case "vault.usgovcloudapi.net":
		return cloud.AzureGovernment.ActiveDirectoryAuthorityHost
	}
	return cloud.AzurePublic.ActiveDirectoryAuthorityHost
}
