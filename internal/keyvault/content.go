package keyvault

// Content is what Key Vault holds of an object, at one version.
type Content struct {
	Version     string // the one that was read
	Text        string // a secret's value
	ContentType string // a secret's, as whoever set it says; of a certificate's secret it is Key Vault's own
	Certificate bool   // the secret is the one of a certificate: it holds that, its chain and its private key
	DER         []byte // a certificate, or a key's SubjectPublicKeyInfo
}
