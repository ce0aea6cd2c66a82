package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

func (id Identity) managed(options azcore.ClientOptions) (azcore.TokenCredential, error) {
	direct := transport{&http.Client{Transport: &http.Transport{IdleConnTimeout: 30 * time.Second}}} // no proxy: the address is each node's own
	options.Transport = direct
	if id.MetadataURL != "" {
		base, err := url.Parse(id.MetadataURL)
		if err != nil || base.Host == "" {
			return nil, &Failure{Kind: Configuration, Subject: id.String(), Problem: "AZURE_POD_IDENTITY_AUTHORITY_HOST is no URL", Fix: "correct it, or leave it out"}
		}
		options.Transport = moved{direct, base}
	}
	o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
	if id.ClientID != "" {
		o.ID = azidentity.ClientID(id.ClientID)
	}
	inner, err := azidentity.NewManagedIdentityCredential(o)
	if err != nil {
		return nil, err
	}
	return managedIdentity{inner, id}, nil
}

// moved sends requests to another host.
type moved struct {
	transport
	to *url.URL
}

// Do implements [policy.Transporter].
func (m moved) Do(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.Host = m.to.Scheme, m.to.Host, m.to.Host
	return m.transport.Do(r)
}

// managedIdentity tells the refusals that the SDK has in words only.
type managedIdentity struct {
	azcore.TokenCredential
	id Identity
}

// GetToken implements [azcore.TokenCredential].
func (c managedIdentity) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	options.TenantID = "" // the metadata service knows the nodes' own tenant only
	token, err := c.TokenCredential.GetToken(ctx, options)
	var answer *azidentity.AuthenticationFailedError
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if err != nil && ok && a.status >= 400 && a.status < 500 && !(errors.As(err, &answer) && answer.RawResponse != nil) {
		return token, c.id.metadataRefusal(a.status)
	}
	return token, err
}

// metadataRefusal explains an answer of the nodes' metadata service.
func (id Identity) metadataRefusal(status int) *Failure {
	f := &Failure{Kind: Denied, Subject: id.String(), Problem: fmt.Sprintf("the nodes' metadata service gives no token for it (%d)", status)}
	switch {
	case status == http.StatusForbidden:
		f.Fix = "let pods reach the nodes' metadata service: AKS's IMDS restriction may forbid it"
	case id.ClientID == "":
		f.Fix = "switch on the system-assigned identity of the node pool's scale set, or name the client id of a user-assigned one in the policy's keyVault.identity"
	default:
		f.Fix = "assign this managed identity to the scale set of the node pool that the pod runs on, or correct the client id in the policy's keyVault.identity"
	}
	return f
}
