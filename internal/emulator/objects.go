package emulator

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"software.sslmate.com/src/go-pkcs12"
)

// SetCertificate adds a version of a certificate, of its key and of its secret, and returns its id. It makes the vault if there is none.
func (e *Emulator) SetCertificate(host string, c Certificate) (version string, err error) {
	return e.store.setCertificate(host, c)
}

// SetKey adds a version of a key and returns its id. It makes the vault if there is none.
func (e *Emulator) SetKey(host string, k Key) (version string, err error) {
	return e.store.setKey(host, k)
}

func (s *store) setKey(host string, k Key) (string, error) {
	key, err := newKey(k.KeyType)
	if err != nil {
		return "", err
	}
	return s.set(host, keys, version{
		Secret: Secret{Name: k.Name, Version: k.Version, Disabled: k.Disabled, NotBefore: k.NotBefore, Expires: k.Expires},
		key:    &jose.JSONWebKey{Key: key.Public()},
	})
}

func newKey(kind string) (crypto.Signer, error) {
	switch kind {
	case "EC":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "RSA", "":
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return nil, fmt.Errorf("emulator: %q is no type of key: RSA or EC", kind)
}

func (s *store) setCertificate(host string, c Certificate) (string, error) {
	key, err := newKey(c.KeyType)
	if err != nil {
		return "", err
	}
	chain, err := newChain(c, key)
	if err != nil {
		return "", err
	}
	one := version{
		Secret: Secret{
			Name: c.Name, Version: cmp.Or(c.Version, newID()), Disabled: c.Disabled, ContentType: cmp.Or(c.ContentType, "application/x-pkcs12"),
			NotBefore: &chain[0].NotBefore, Expires: &chain[0].NotAfter,
		},
		certificate: true, cer: chain[0].Raw, key: &jose.JSONWebKey{Key: key.Public()},
	}
	switch one.ContentType {
	case "application/x-pkcs12":
		one.Value, err = pfx(key, chain)
	case "application/x-pem-file":
		one.Value, err = pemFile(key, chain)
	default:
		err = fmt.Errorf("emulator: %s: %q is no content type of a certificate", c.Name, c.ContentType)
	}
	if err != nil {
		return "", err
	}
	for _, k := range []kind{secrets, keys, certificates} {
		if _, err := s.set(host, k, one); err != nil {
			return "", err
		}
	}
	return one.Version, nil
}

// newChain makes the certificate of a key and, if it is to have one, of its issuers: server, intermediate, root.
func newChain(c Certificate, key crypto.Signer) (chain []*x509.Certificate, err error) {
	server := template(c.Name)
	server.DNSNames = []string{c.Name + ".example"}
	server.KeyUsage, server.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	server.NotBefore, server.NotAfter = orTime(c.NotBefore, server.NotBefore), orTime(c.Expires, server.NotAfter)
	issuer, issuerKey := server, key
	if c.Intermediate {
		var rootKey, middleKey crypto.Signer
		if rootKey, err = newKey("EC"); err != nil {
			return nil, err
		}
		if middleKey, err = newKey("EC"); err != nil {
			return nil, err
		}
		root, err := certify(caTemplate(c.Name+" root"), rootKey, nil, rootKey)
		if err != nil {
			return nil, err
		}
		middle, err := certify(caTemplate(c.Name+" intermediate"), middleKey, root, rootKey)
		if err != nil {
			return nil, err
		}
		issuer, issuerKey, chain = middle, middleKey, []*x509.Certificate{middle, root}
	}
	leaf, err := certify(server, key, issuer, issuerKey)
	if err != nil {
		return nil, err
	}
	return append([]*x509.Certificate{leaf}, chain...), nil
}

func orTime(t *time.Time, or time.Time) time.Time {
	if t == nil {
		return or
	}
	return *t
}

// certify signs; without an issuer it is self-signed.
func certify(template *x509.Certificate, key crypto.Signer, issuer *x509.Certificate, issuerKey crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, cmp.Or(issuer, template), key.Public(), issuerKey)
	if err != nil {
		return nil, fmt.Errorf("emulator: certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// pfx writes PKCS #12 as Key Vault does: without a password, by the old algorithms.
func pfx(key crypto.Signer, chain []*x509.Certificate) (string, error) {
	raw, err := pkcs12.LegacyDES.Encode(key, chain[0], chain[1:], "")
	return base64.StdEncoding.EncodeToString(raw), err
}

func pemFile(key crypto.Signer, chain []*x509.Certificate) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	out.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	for _, c := range chain {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return out.String(), nil
}
