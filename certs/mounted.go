package certs

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
)

// A Source gives a TLS server its certificate. It runs beside the server, in every replica.
type Source interface {
	// GetCertificate is for [tls.Config]. It fails while there is no certificate yet.
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Start keeps the certificate current until the context ends.
	Start(context.Context) error
	// NeedLeaderElection is false: every replica serves.
	NeedLeaderElection() bool
	// Ready tells why a client could not verify the certificate; nil if it can.
	Ready(*http.Request) error
	// NotAfter is the end of the certificate's validity, zero while there is none.
	NotAfter() time.Time
}

var _, _ Source = (*Mounted)(nil), (*SelfManaged)(nil)

// Mounted is a certificate in two files, which something else renews: the Secret of cert-manager, mounted.
type Mounted struct {
	*certwatcher.CertWatcher
}

// NewMounted reads tls.crt and tls.key in the directory, the keys of every Secret of type kubernetes.io/tls.
func NewMounted(dir string) (*Mounted, error) {
	w, err := certwatcher.New(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		return nil, fmt.Errorf("serving certificate in %s: %w; mount a Secret of type kubernetes.io/tls there, "+
			"or let the webhook manage its certificate itself", dir, err)
	}
	return &Mounted{w}, nil
}

// Ready fails before and after the certificate's validity.
func (m *Mounted) Ready(*http.Request) error {
	cert, err := m.GetCertificate(nil)
	if err != nil {
		return err
	}
	return checkValidity(cert, time.Now())
}

// NotAfter is the end of the certificate's validity.
func (m *Mounted) NotAfter() time.Time {
	cert, err := m.GetCertificate(nil)
	if err != nil || cert == nil || cert.Leaf == nil {
		return time.Time{}
	}
	return cert.Leaf.NotAfter
}

func checkValidity(cert *tls.Certificate, now time.Time) error {
	switch {
	case cert == nil || cert.Leaf == nil:
		return errNoCertificate
	case now.Before(cert.Leaf.NotBefore):
		return fmt.Errorf("the serving certificate is valid from %s only", cert.Leaf.NotBefore.Format(time.RFC3339))
	case now.After(cert.Leaf.NotAfter):
		return fmt.Errorf("the serving certificate expired at %s", cert.Leaf.NotAfter.Format(time.RFC3339))
	}
	return nil
}
