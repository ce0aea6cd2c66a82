package azure

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// servicePrincipal reads the client secret at each request for a token, since the kubelet brings a rotated one.
type servicePrincipal struct {
	id      Identity
	options azcore.ClientOptions

	mu                     sync.Mutex
	client, secret         string
	azcore.TokenCredential // of this client and secret
}

// GetToken implements [azcore.TokenCredential].
func (s *servicePrincipal) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if err := s.id.belongsTo(options.TenantID); err != nil {
		return azcore.AccessToken{}, err
	}
	credential, err := s.current()
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return credential.GetToken(ctx, options)
}

// current is the credential of what the files hold now.
func (s *servicePrincipal) current() (azcore.TokenCredential, error) {
	client, secret, err := s.id.clientSecret()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.TokenCredential == nil || client != s.client || secret != s.secret {
		credential, err := azidentity.NewClientSecretCredential(s.id.TenantID, client, secret, &azidentity.ClientSecretCredentialOptions{ClientOptions: s.options})
		if err != nil {
			return nil, err
		}
		s.TokenCredential, s.client, s.secret = credential, client, secret
	}
	return s.TokenCredential, nil
}

// clientSecret reads the mounted Secret.
func (id Identity) clientSecret() (client, secret string, err error) {
	text, err := os.ReadFile(filepath.Join(id.CredentialDir, "clientsecret"))
	problem := ""
	switch client, secret = id.clientID(), strings.TrimRight(string(text), "\r\n"); {
	case err != nil:
		problem = err.Error()
	case secret == "":
		problem = "the file clientsecret is empty"
	case client == "":
		problem = "AZURE_CLIENT_ID is not set, and there is no file clientid"
	default:
		return client, secret, nil
	}
	return "", "", &Failure{Kind: Configuration, Subject: "identity (service principal)", Problem: problem,
		Fix: "give the Secret that the policy's keyVault.identity names the keys clientid and clientsecret"}
}
