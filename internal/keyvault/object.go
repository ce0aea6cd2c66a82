package keyvault

import "fmt"

// Type is the kind of an object in a vault.
type Type string

// The types, by the names that the CSI driver's provider and the FlexVolume have for them.
const (
	SecretType      Type = "" // a secret, or the certificate with its private key that Key Vault keeps as a secret
	CertificateType Type = "cert"
	KeyType         Type = "key" // its public part: nobody gets the other
)

// Object identifies an object of a vault. It is what one request asks for.
type Object struct {
	Vault   string // the vault's whole host: shop.vault.azure.net
	Type    Type
	Name    string
	Version string // 32 hex digits; empty is the newest
}

// String names the object for messages.
func (o Object) String() string {
	what := map[Type]string{SecretType: "secret", CertificateType: "certificate", KeyType: "key"}[o.Type]
	if o.Version != "" {
		return fmt.Sprintf("%s %s (version %s) in vault %s", what, o.Name, o.Version, o.Vault)
	}
	return fmt.Sprintf("%s %s in vault %s", what, o.Name, o.Vault)
}

// Format is what a certificate or key is written as.
type Format string

// The formats. A secret that is no certificate has none.
const (
	PEM     Format = ""        // certificates in the order server, intermediate, root, after their private key if there is one
	PFX     Format = "pfx"     // PKCS #12 as Key Vault keeps it: base64, unless the encoding is [Base64]
	DER     Format = "der"     // the certificate's own bytes, as the FlexVolume wrote them
	Modulus Format = "modulus" // of an RSA key, as the FlexVolume wrote it

	PrivateKey Format = "private-key" // of a certificate's secret, as PEM, without the certificates
	Username   Format = "username"    // what stands before the colon of a secret USERNAME:PASSWORD
	Password   Format = "password"    // and what stands after it
)

// Encoding is how a secret's text stands for bytes.
type Encoding string

// The encodings, by the names that the CSI driver's provider has for them.
const (
	UTF8   Encoding = ""
	Hex    Encoding = "hex"
	Base64 Encoding = "base64"
)

// Reference is the use of an object: which one, whether it may be missing, and what is made of it.
type Reference struct {
	Vault    string   `json:"vault"`
	Type     Type     `json:"type,omitempty"`
	Name     string   `json:"object"`
	Version  string   `json:"version,omitempty"`
	Optional bool     `json:"optional,omitempty"`
	Format   Format   `json:"format,omitempty"`
	Encoding Encoding `json:"encoding,omitempty"`
	Field    string   `json:"field,omitempty"` // the member of the JSON or YAML mapping that the secret's text is
	Mode     int32    `json:"mode,omitempty"`  // permission bits of a file; 0 means 0444: readers run as other users
}

// Object is what is referred to.
func (r Reference) Object() Object { return Object{r.Vault, r.Type, r.Name, r.Version} }

// String names the object for messages.
func (r Reference) String() string { return r.Object().String() }
