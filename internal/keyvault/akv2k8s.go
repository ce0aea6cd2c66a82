package keyvault

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// akv2k8s is a reference as the env injector of akv2k8s takes it, the whole value of a variable. The chart's backstop has
// the same expression.
var akv2k8s = regexp.MustCompile(`^[[:space:]]*([a-z0-9]([-a-z0-9.]*[a-z0-9])?)@azurekeyvault([?](.*))?[[:space:]]*$`)

// Akv2k8s takes NAME@azurekeyvault[?QUERY] apart: the name of an AzureKeyVaultSecret, and which part of it is wanted.
func Akv2k8s(value string) (name, query string, is bool) {
	if len(value) > maxReference {
		return "", "", false
	}
	m := akv2k8s.FindStringSubmatch(value)
	if m == nil || len(m[1]) > 253 {
		return "", "", false
	}
	return m[1], strings.TrimSpace(m[4]), true
}

// The queries of certificates.
const (
	queryCertificate = "tls.crt"
	queryPrivateKey  = "tls.key"
	queryRaw         = "raw"
)

// Query asks for a part of what a policy's table gives for an akv2k8s name: of a certificate tls.crt, tls.key or raw, of a
// secret a member of its JSON or YAML.
func (r Reference) Query(query string) (Reference, error) {
	switch {
	case query == "":
		return r, nil
	case r.Type == CertificateType:
		return r.certificatePart(query)
	case r.Type != SecretType || r.Field != "" || r.Format != PEM || r.Encoding != UTF8:
		return Reference{}, errors.New("what stands after ? asks for a part of what has none")
	case !validField(query):
		return Reference{}, errors.New("what stands after ? is no name of a member")
	}
	r.Field = query
	return r, nil
}

// certificatePart is a certificate as akv2k8s has it: without a query the certificate alone.
func (r Reference) certificatePart(query string) (Reference, error) {
	switch query {
	case "", queryCertificate:
	case queryPrivateKey: // of the secret that Key Vault keeps of a certificate
		r.Type, r.Format = SecretType, PrivateKey
	case queryRaw:
		r.Format = DER
	default:
		return Reference{}, errors.New("after ? of a certificate may stand tls.crt, tls.key or raw")
	}
	return r, nil
}

// keyVaultSecret is what counts of an AzureKeyVaultSecret (spv.no/v2beta1) for a variable. Its output is of akv2k8s'
// controller, but for the transformations, which the env injector does too.
type keyVaultSecret struct {
	Spec struct {
		Vault struct {
			Name          string
			AzureIdentity string
			Object        struct{ Name, Type, Version, ContentType string }
		}
		Output struct{ Transform []string }
	}
}

// ParseKeyVaultSecret reads the JSON of an AzureKeyVaultSecret: what akv2k8s makes of it and a query, as a reference.
// identity is the AzureIdentity that it names, if it does.
func (h Hosts) ParseKeyVaultSecret(object []byte, query string) (ref Reference, identity string, err error) {
	var s keyVaultSecret
	if err := json.Unmarshal(object, &s); err != nil {
		return Reference{}, "", errors.New("it is not as its definition has it")
	}
	vault, wanted := s.Spec.Vault, s.Spec.Vault.Object
	if len(s.Spec.Output.Transform) > 0 {
		return Reference{}, "", errors.New("its spec.output.transform is not supported: keep the secret in Key Vault as the application needs it")
	}
	if ref, err = h.secret(vault.Name, wanted.Name, wanted.Version); err != nil {
		return Reference{}, "", err
	}
	switch wanted.Type {
	case "secret":
		ref, err = ref.basicAuth(query)
	case "certificate":
		ref.Type = CertificateType
		ref, err = ref.certificatePart(query)
	case "key":
		ref.Type, ref.Format = KeyType, Modulus
		if query != "" {
			err = errors.New("nothing may stand after ? of a key")
		}
	case "multi-key-value-secret":
		switch {
		case wanted.ContentType != "application/x-json" && wanted.ContentType != "application/x-yaml":
			err = errors.New("its spec.vault.object.contentType must be application/x-json or application/x-yaml")
		case !validField(query):
			err = errors.New("of a multi-key-value-secret one key must be named: NAME@azurekeyvault?KEY")
		}
		ref.Field = query
	default:
		err = errors.New("its spec.vault.object.type must be secret, certificate, key or multi-key-value-secret")
	}
	if err != nil {
		return Reference{}, "", err
	}
	return ref, vault.AzureIdentity, nil
}

// basicAuth is a secret, or one side of a secret USERNAME:PASSWORD.
func (r Reference) basicAuth(query string) (Reference, error) {
	switch Format(query) {
	case "":
	case Username, Password:
		r.Format = Format(query)
	default:
		return Reference{}, fmt.Errorf("after ? of a secret may stand %s or %s, which split it at its colon; a member of JSON needs the type multi-key-value-secret", Username, Password)
	}
	return r, nil
}
