package azure

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// Identity is a workload identity: a client of Entra ID for which a projected service account token stands.
type Identity struct {
	ClientID      string
	TenantID      string
	TokenFile     string // kept fresh by the kubelet
	AuthorityHost string // URL; empty: that of the vault's cloud
}

// String names the identity for messages.
func (id Identity) String() string { return "identity " + id.ClientID }

// grantee is what roles are given to.
func (id Identity) grantee() string { return "client id " + id.ClientID }

func (id Identity) validate() error {
	for _, field := range []struct{ value, env, hint string }{
		{id.ClientID, "AZURE_CLIENT_ID", "annotate the service account with azure.workload.identity/client-id"},
		{id.TenantID, "AZURE_TENANT_ID", "annotate the service account with azure.workload.identity/tenant-id, or set it in the policy"},
		{id.TokenFile, "AZURE_FEDERATED_TOKEN_FILE", "mount a projected token with audience api://AzureADTokenExchange"},
	} {
		if field.value == "" {
			return &Failure{Kind: Configuration, Subject: "identity", Problem: field.env + " is not set", Fix: field.hint}
		}
	}
	return nil
}

// credential makes the SDK's credential.
func (id Identity) credential(options azcore.ClientOptions) (azcore.TokenCredential, error) {
	inner, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: options, ClientID: id.ClientID, TenantID: id.TenantID, TokenFilePath: id.TokenFile,
	})
	if err != nil {
		return nil, err
	}
	return checked{inner, id}, nil
}

// checked says readably what the SDK's credential would refuse anyway, in words only.
type checked struct {
	azcore.TokenCredential
	id Identity
}

// GetToken implements [azcore.TokenCredential].
func (c checked) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	subject := c.id.String()
	if t := options.TenantID; t != "" && !strings.EqualFold(t, c.id.TenantID) { // vaults trust their own tenant only
		problem := fmt.Sprintf("it belongs to tenant %s, the vault to tenant %s", c.id.TenantID, t)
		return azcore.AccessToken{}, &Failure{Kind: Denied, Subject: subject, Problem: problem, Fix: "use an identity of the vault's tenant"}
	}
	if _, err := os.ReadFile(c.id.TokenFile); err != nil {
		return azcore.AccessToken{}, &Failure{Kind: Configuration, Subject: subject, Problem: err.Error(), Fix: "mount the projected token there"}
	}
	return c.TokenCredential.GetToken(ctx, options)
}

// federation describes the federated credential that Entra ID must know for our token: issuer and subject, read from the token
// itself. These two are names; nothing else of the token is shown.
func (id Identity) federation() string {
	var claims struct {
		Issuer  string `json:"iss"`
		Subject string `json:"sub"`
	}
	token, _ := os.ReadFile(id.TokenFile)
	if parts := strings.Split(string(token), "."); len(parts) == 3 {
		payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(payload, &claims) // a token that can't be read is described by what is left
	}
	if claims.Subject == "" {
		return "audience api://AzureADTokenExchange and the issuer and subject of the token in " + id.TokenFile
	}
	return fmt.Sprintf("issuer %s, subject %s, audience api://AzureADTokenExchange", claims.Issuer, claims.Subject)
}
