package certs_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"twelvefold.dev/certs"
)

// mount writes a self-signed certificate into the directory and returns it as PEM. The certificate is replaced last, as one rename,
// and no reader finds half of it.
func mount(t *testing.T, dir string, notBefore, notAfter time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(notAfter.UnixNano()), DNSNames: []string{serverName}, NotBefore: notBefore, NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, text := range map[string][]byte{"tls.crt": cert, "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path+".new", text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	return cert
}

func TestMountedServesRenewedFiles(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	first := mount(t, dir, now.Add(-time.Hour), now.Add(time.Hour))
	m, err := certs.NewMounted(dir)
	if err != nil {
		t.Fatal(err)
	}
	m.WithWatchInterval(10 * time.Millisecond)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Start(ctx) }()
	defer func() {
		stop()
		<-done
	}()

	mustShake(t, m, first)
	if err := m.Ready(nil); err != nil {
		t.Error(err)
	}
	second := mount(t, dir, now.Add(-time.Hour), now.Add(2*time.Hour))
	for m.NotAfter().Unix() != now.Add(2*time.Hour).Unix() {
		if time.Since(now) > time.Minute {
			t.Fatal("the new files were not read within a minute")
		}
		time.Sleep(time.Millisecond)
	}
	mustShake(t, m, second)
	if _, err := handshake(m, first); err == nil {
		t.Error("the old certificate is still trusted")
	}
	if m.NeedLeaderElection() {
		t.Error("it would run in one replica only")
	}
}

func TestMountedIsUnreadyOutsideItsValidity(t *testing.T) {
	now := time.Now()
	for want, validity := range map[string][2]time.Duration{
		"expired at":    {-2 * time.Hour, -time.Hour},
		"is valid from": {time.Hour, 2 * time.Hour},
	} {
		dir := t.TempDir()
		mount(t, dir, now.Add(validity[0]), now.Add(validity[1]))
		m, err := certs.NewMounted(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Ready(nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Ready = %v, want %q", err, want)
		}
	}
}

func TestMountedNeedsItsFiles(t *testing.T) {
	dir := t.TempDir()
	_, err := certs.NewMounted(dir)
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "kubernetes.io/tls") {
		t.Errorf("error = %v", err)
	}
}
