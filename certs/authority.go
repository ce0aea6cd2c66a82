package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// clockSkew is how far a new certificate's validity reaches into the past, for clients whose clock is behind.
const clockSkew = time.Hour

// An authority is a CA that can sign: a self-signed certificate and its key.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// newAuthority makes a CA that is valid for lifetime from now on.
func newAuthority(now time.Time, lifetime time.Duration) (*authority, error) {
	serial := newSerial()
	cert, key, err := issue(nil, &x509.Certificate{
		// A name of its own lets clients tell the CAs of one bundle apart.
		Subject:               pkix.Name{CommonName: "twelvefold-ca-" + hex.EncodeToString(serial.Bytes()[:4])},
		SerialNumber:          serial,
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	})
	if err != nil {
		return nil, fmt.Errorf("make a CA: %w", err)
	}
	return &authority{cert, key}, nil
}

// sign makes a serving certificate for the names, which ends with the CA if not before.
func (a *authority) sign(names []string, now time.Time, lifetime time.Duration) (*tls.Certificate, error) {
	end := now.Add(lifetime)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	leaf, key, err := issue(a, &x509.Certificate{
		Subject:      pkix.Name{CommonName: "twelvefold-webhook"},
		SerialNumber: newSerial(),
		DNSNames:     names,
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     end,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return nil, fmt.Errorf("sign the serving certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// issue makes a P-256 key and its certificate, signed by parent, or by itself if there is none.
func issue(parent *authority, template *x509.Certificate) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if parent == nil {
		parent = &authority{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

// newSerial is a random number of 127 bits, with the highest set.
func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

// encodeCerts writes certificates as PEM, one after the other.
func encodeCerts(certs ...*x509.Certificate) []byte {
	var out bytes.Buffer
	for _, c := range certs {
		pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // a Buffer takes everything
	}
	return out.Bytes()
}

// parseCerts reads the CA certificates of PEM text. Those before an error are returned with it.
func parseCerts(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for len(bytes.TrimSpace(text)) > 0 {
		block, rest := pem.Decode(text)
		if block == nil || block.Type != "CERTIFICATE" {
			return certs, errors.New("holds something that is not a PEM certificate")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return certs, fmt.Errorf("holds a certificate that cannot be read: %w", err)
		}
		if !c.IsCA {
			return certs, fmt.Errorf("holds the certificate of %q, which is no CA", c.Subject.CommonName)
		}
		certs = append(certs, c)
		text = rest
	}
	return certs, nil
}

// encodeKey writes a key as PEM.
func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, errors.New("the CA's key cannot be encoded")
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// parseKey reads the key of a certificate from PEM text. Its errors say nothing of the text.
func parseKey(text []byte, cert *x509.Certificate) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("holds no PEM key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("holds no PKCS #8 key")
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("holds a key that does not belong to the certificate")
	}
	return key, nil
}
