package azure

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"twelvefold.dev/internal/keyvault"
)

// IdentityKind is how an identity proves itself.
type IdentityKind string

// The kinds, by the names in TWELVEFOLD_IDENTITY.
const (
	Workload         IdentityKind = ""                  // also "workload": a projected service account token stands for it
	Managed          IdentityKind = "managed"           // the nodes' metadata service does
	ServicePrincipal IdentityKind = "service-principal" // a client secret does
)

// Identity is a client of Entra ID, and how to prove to be it.
type Identity struct {
	Kind          IdentityKind
	ClientID      string // of a managed identity: empty is the one that is assigned to the nodes by the system; of a service principal: the file clientid
	TenantID      string // but of a managed identity
	AuthorityHost string // URL; empty: that of the vault's cloud

	TokenFile     string // of a workload identity: kept fresh by the kubelet
	TokenProxy    bool   // of a workload identity: AKS set AZURE_KUBERNETES_TOKEN_PROXY and its companions, which the SDK reads
	CredentialDir string // of a service principal: a mounted Secret with the files clientid and clientsecret
	MetadataURL   string // of a managed identity: where the metadata service is, if not at its usual address
}

// IdentityFromEnv reads an identity from the environment that the webhook writes.
func IdentityFromEnv(env func(name string) string) Identity {
	kind := IdentityKind(env(keyvault.IdentityEnv))
	if kind == "workload" {
		kind = Workload
	}
	return Identity{
		Kind:          kind,
		ClientID:      env("AZURE_CLIENT_ID"),
		TenantID:      env("AZURE_TENANT_ID"),
		AuthorityHost: env("AZURE_AUTHORITY_HOST"),
		TokenFile:     env("AZURE_FEDERATED_TOKEN_FILE"),
		TokenProxy:    env("AZURE_KUBERNETES_TOKEN_PROXY") != "",
		CredentialDir: env(keyvault.CredentialDirEnv),
		MetadataURL:   env("AZURE_POD_IDENTITY_AUTHORITY_HOST"),
	}
}

// clientID is empty for the identity that the system assigned to the nodes.
func (id Identity) clientID() string {
	if id.ClientID == "" && id.Kind == ServicePrincipal {
		text, _ := os.ReadFile(filepath.Join(id.CredentialDir, "clientid")) // that it can't be read is told when it is used
		return strings.TrimSpace(string(text))
	}
	return id.ClientID
}

// String names the identity for messages.
func (id Identity) String() string {
	return "identity " + cmp.Or(id.clientID(), "of the nodes (system-assigned)")
}

// grantee is what roles are given to.
func (id Identity) grantee() string {
	if client := id.clientID(); client != "" {
		return "client id " + client
	}
	return "the nodes' system-assigned identity"
}

func (id Identity) validate() error {
	type setting struct{ value, env, hint string }
	var required []setting
	switch id.Kind {
	case Workload:
		required = []setting{
			{id.ClientID, "AZURE_CLIENT_ID", "annotate the service account with azure.workload.identity/client-id"},
			{id.TenantID, "AZURE_TENANT_ID", "annotate the service account with azure.workload.identity/tenant-id, or set it in the policy"},
			{id.TokenFile, "AZURE_FEDERATED_TOKEN_FILE", "mount a projected token with audience api://AzureADTokenExchange"},
		}
	case Managed:
	case ServicePrincipal:
		required = []setting{
			{id.TenantID, "AZURE_TENANT_ID", "set the tenant id in the policy's keyVault.identity"},
			{id.CredentialDir, keyvault.CredentialDirEnv, "mount a Secret with the keys clientid and clientsecret, and name where"},
		}
	default:
		return &Failure{Kind: Configuration, Subject: "identity", Problem: keyvault.IdentityEnv + " is none of workload, managed, service-principal",
			Fix: "correct the policy's keyVault.identity; are webhook and agent of the same version?"}
	}
	for _, s := range required {
		if s.value == "" {
			return &Failure{Kind: Configuration, Subject: "identity", Problem: s.env + " is not set", Fix: s.hint}
		}
	}
	return nil
}

// credential makes the SDK's credential.
func (id Identity) credential(options azcore.ClientOptions) (azcore.TokenCredential, error) {
	switch id.Kind {
	case Managed:
		return id.managed(options)
	case ServicePrincipal:
		return &servicePrincipal{id: id, options: options}, nil
	}
	return id.workload(options)
}
