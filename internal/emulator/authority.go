package emulator

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// authority is a certificate authority in memory. Its certificates last a day: longer than any test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey // the leaves' key too: nothing here is secret
	pem  []byte

	mu     sync.Mutex
	leaves map[string]*tls.Certificate // by host name
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := caTemplate("Twelvefold emulator (tests only)")
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return &authority{cert: cert, key: key, pem: block, leaves: map[string]*tls.Certificate{}}, nil
}

func template(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // crypto/rand does not fail
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour), // clocks of a test cluster's nodes may differ
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
}

func caTemplate(name string) *x509.Certificate {
	t := template(name)
	t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign
	return t
}

// serverConfig presents a certificate for whatever host the client names.
func (e *Emulator) serverConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if hello.ServerName == "" {
				return nil, errors.New("emulator: the client names no host")
			}
			return e.ca.Load().leaf(hello.ServerName)
		},
	}
}

// RotateCA has new connections present certificates of a new authority, whose certificate [Emulator.CAPEM] gives from now on.
func (e *Emulator) RotateCA() error {
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	e.ca.Store(ca)
	return nil
}

// leaf mints the certificate of a host, once.
func (a *authority) leaf(host string) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if leaf := a.leaves[host]; leaf != nil {
		return leaf, nil
	}
	t := template(host)
	t.DNSNames = []string{host}
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, a.key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("emulator: certificate of %s: %w", host, err)
	}
	a.leaves[host] = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
	return a.leaves[host], nil
}
