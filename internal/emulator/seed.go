package emulator

import (
	"fmt"
	"os"
	"time"

	"sigs.k8s.io/yaml"
)

// Seed is what the emulator holds at start. It can be written as YAML (see [LoadSeed]).
type Seed struct {
	Vaults     []Vault    `json:"vaults,omitempty"`
	Identities []Identity `json:"identities,omitempty"`
}

// Vault is a vault and its secrets.
type Vault struct {
	Host           string   `json:"host"`                     // the whole host: shop.vault.azure.net
	Tenant         string   `json:"tenant,omitempty"`         // default [DefaultTenant]
	Resource       string   `json:"resource,omitempty"`       // what challenges name; default is the vault's domain, as clients demand
	AccessPolicies bool     `json:"accessPolicies,omitempty"` // the older permission model: refusals read otherwise
	Secrets        []Secret `json:"secrets,omitempty"`
}

// Secret is one version of a secret. The version set last is the newest.
type Secret struct {
	Name        string            `json:"name"`
	Value       string            `json:"value"`
	Version     string            `json:"version,omitempty"` // 32 hex digits; empty makes one up
	ContentType string            `json:"contentType,omitempty"`
	Disabled    bool              `json:"disabled,omitempty"`
	NotBefore   *time.Time        `json:"notBefore,omitempty"`
	Expires     *time.Time        `json:"expires,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
}

// Role is a role of Azure RBAC on a vault, by its name there.
type Role string

// The two roles that matter to readers of secrets.
const (
	SecretsUser Role = "Key Vault Secrets User" // values and metadata
	Reader      Role = "Key Vault Reader"       // metadata only
)

// Identity is an application or managed identity of Entra ID.
type Identity struct {
	ClientID  string          `json:"clientID"`
	Tenant    string          `json:"tenant,omitempty"` // default [DefaultTenant]
	Federated []Federated     `json:"federated,omitempty"`
	Roles     map[string]Role `json:"roles,omitempty"` // by the vault's host; "*" is any vault
}

// Federated is a federated credential: whose tokens stand for the identity.
type Federated struct {
	Issuer  string `json:"issuer,omitempty"` // empty is any issuer that the emulator trusts
	Subject string `json:"subject"`          // system:serviceaccount:NS:NAME; a final * stands for any rest (the emulator's own liberty)
}

// LoadSeed reads a seed from a YAML file. Unknown fields are errors.
func LoadSeed(path string) (Seed, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Seed{}, err
	}
	var s Seed
	if err := yaml.UnmarshalStrict(text, &s); err != nil {
		return Seed{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}
