package azure

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

func (id Identity) workload(options azcore.ClientOptions) (azcore.TokenCredential, error) {
	inner, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: options, ClientID: id.ClientID, TenantID: id.TenantID, TokenFilePath: id.TokenFile, EnableAzureProxy: id.TokenProxy,
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
	if err := c.id.belongsTo(options.TenantID); err != nil {
		return azcore.AccessToken{}, err
	}
	if _, err := os.ReadFile(c.id.TokenFile); err != nil {
		return azcore.AccessToken{}, &Failure{Kind: Configuration, Subject: c.id.String(), Problem: err.Error(), Fix: "mount the projected token there"}
	}
	token, err := c.TokenCredential.GetToken(ctx, options)
	var answer *azidentity.AuthenticationFailedError
	if err != nil && c.id.TokenProxy && !(errors.As(err, &answer) && answer.RawResponse != nil) { // its transport is not ours, so this is all we know
		return token, &Failure{Kind: Unreachable, Subject: c.id.String(), Problem: "AKS's token proxy (AZURE_KUBERNETES_TOKEN_PROXY) gives no token",
			Fix: "check the identity binding of the cluster and the proxy's certificate", temporary: true}
	}
	return token, err
}

// belongsTo refuses to ask for tokens of another tenant: vaults trust their own only.
func (id Identity) belongsTo(tenant string) error {
	if tenant == "" || strings.EqualFold(tenant, id.TenantID) {
		return nil
	}
	problem := fmt.Sprintf("it belongs to tenant %s, the vault to tenant %s", id.TenantID, tenant)
	return &Failure{Kind: Denied, Subject: id.String(), Problem: problem, Fix: "use an identity of the vault's tenant"}
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
