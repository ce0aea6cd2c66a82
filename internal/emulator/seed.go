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

// Vault is a vault and its objects.
type Vault struct {
	Host           string `json:"host"`                     // the whole host: shop.vault.azure.net
	Tenant         string `json:"tenant,omitempty"`         // default [DefaultTenant]
	Resource       string `json:"resource,omitempty"`       // what challenges name; default is the vault's domain, as clients demand
	AccessPolicies bool   `json:"accessPolicies,omitempty"` // the older permission model: refusals read otherwise
	Rate           *Rate  `json:"rate,omitempty"`           // default: no limit

	Secrets      []Secret      `json:"secrets,omitempty"`
	Certificates []Certificate `json:"certificates,omitempty"`
	Keys         []Key         `json:"keys,omitempty"`
}

// Rate is how many authorized requests a vault answers in a window of time. The others get 429, with the rest of the window as Retry-After.
type Rate struct {
	Requests int           `json:"requests"`
	Window   time.Duration `json:"window"` // nanoseconds in JSON
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

// Certificate is one version of a certificate. The emulator makes it, and with it a key and a secret of the same name and version, as Key Vault does.
type Certificate struct {
	Name         string     `json:"name"`
	Version      string     `json:"version,omitempty"`
	ContentType  string     `json:"contentType,omitempty"`  // of its secret: application/x-pkcs12 (default) or application/x-pem-file
	KeyType      string     `json:"keyType,omitempty"`      // RSA (default) or EC
	Intermediate bool       `json:"intermediate,omitempty"` // signed by an intermediate below a root; else by itself
	Disabled     bool       `json:"disabled,omitempty"`
	NotBefore    *time.Time `json:"notBefore,omitempty"`
	Expires      *time.Time `json:"expires,omitempty"`
}

// Key is one version of a key, which the emulator makes.
type Key struct {
	Name      string     `json:"name"`
	Version   string     `json:"version,omitempty"`
	KeyType   string     `json:"keyType,omitempty"` // RSA (default) or EC
	Disabled  bool       `json:"disabled,omitempty"`
	NotBefore *time.Time `json:"notBefore,omitempty"`
	Expires   *time.Time `json:"expires,omitempty"`
}

// Role is a role of Azure RBAC on a vault, by its name there.
type Role string

// The roles that matter to readers. What is public of certificates and keys counts as metadata in Azure: Reader gets it.
const (
	SecretsUser     Role = "Key Vault Secrets User"     // secrets
	CertificateUser Role = "Key Vault Certificate User" // secrets, certificates, public keys
	CryptoUser      Role = "Key Vault Crypto User"      // public keys; what it may do with the private ones is not played
	Reader          Role = "Key Vault Reader"           // all but values of secrets
)

// Identity is an application or managed identity of Entra ID.
type Identity struct {
	ClientID  string          `json:"clientID"`
	Tenant    string          `json:"tenant,omitempty"` // default [DefaultTenant]
	Federated []Federated     `json:"federated,omitempty"`
	Roles     map[string]Role `json:"roles,omitempty"` // by the vault's host; "*" is any vault

	ClientSecret        string  `json:"clientSecret,omitempty"` // of a service principal
	ClientSecretExpired bool    `json:"clientSecretExpired,omitempty"`
	Managed             Managed `json:"managed,omitempty"` // the nodes' metadata service gives tokens for it
}

// Managed is how a managed identity is assigned to the nodes.
type Managed string

// The ways: by client id, or without one.
const (
	UserAssigned   Managed = "user"
	SystemAssigned Managed = "system"
)

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
