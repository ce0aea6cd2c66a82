package keyvault_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// entity is a certificate and its key.
type entity struct {
	*x509.Certificate
	key crypto.Signer
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRSA(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var serial = int64(0)

// sign makes a certificate of a key, by an issuer or, with nil, by itself.
func sign(t testing.TB, name string, key crypto.Signer, isCA bool, by *entity) *entity {
	t.Helper()
	serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, IsCA: isCA, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	e := &entity{key: key}
	if by == nil {
		by = &entity{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.Certificate, key.Public(), by.key)
	if err == nil {
		e.Certificate, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func pemOf(c *entity) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func pemOfKey(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// pfxOf is the PFX of certificates in this order, and the first one's or another key.
func pfxOf(t testing.TB, password string, key any, chain ...*entity) string {
	t.Helper()
	var others []*x509.Certificate
	for _, c := range chain[1:] {
		others = append(others, c.Certificate)
	}
	raw, err := pkcs12.Modern2023.Encode(key, chain[0].Certificate, others, password)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// join is a PEM file of certificates.
func join(chain ...*entity) string {
	var out strings.Builder
	for _, c := range chain {
		out.WriteString(pemOf(c))
	}
	return out.String()
}
