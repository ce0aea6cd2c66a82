package certs_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"twelvefold.dev/certs"
)

// A cluster holds what the chart installs. All tests of it run in a bubble whose clock only advances when everyone waits.
type cluster struct {
	client.WithWatch
	t    *testing.T
	log  bytes.Buffer
	lock sync.Mutex // of log
}

func newCluster(t *testing.T, intercept interceptor.Funcs, without ...string) *cluster {
	hooks := func(names ...string) (mutating []admissionv1.MutatingWebhook, validating []admissionv1.ValidatingWebhook) {
		for _, n := range names {
			mutating = append(mutating, admissionv1.MutatingWebhook{Name: n})
			validating = append(validating, admissionv1.ValidatingWebhook{Name: n})
		}
		return mutating, validating
	}
	mutating, _ := hooks("pods.twelvefold.dev")
	_, validating := hooks("pods.twelvefold.dev", "policy.twelvefold.dev")
	objects := []client.Object{
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "twelvefold", Name: "twelvefold-ca"}},
		&admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "aa-twelvefold"}, Webhooks: mutating},
		&admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "aa-twelvefold"}, Webhooks: validating},
	}
	objects = slices.DeleteFunc(objects, func(o client.Object) bool { return slices.Contains(without, o.GetName()) })
	return &cluster{t: t, WithWatch: fake.NewClientBuilder().WithObjects(objects...).WithInterceptorFuncs(intercept).Build()}
}

func (c *cluster) Write(p []byte) (int, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.log.Write(p)
}

func (c *cluster) logged() string {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.log.String()
}

// replica starts a source and stops it with the test.
func (c *cluster) replica(o certs.Options) *certs.SelfManaged {
	c.t.Helper()
	s, stop := c.start(o)
	c.t.Cleanup(stop)
	return s
}

func (c *cluster) start(o certs.Options) (s *certs.SelfManaged, stop func()) {
	c.t.Helper()
	o.Namespace, o.Service, o.Configuration = "twelvefold", "twelvefold-webhook", "aa-twelvefold"
	o.Log = slog.New(slog.NewTextHandler(c, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := certs.NewSelfManaged(c, o)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Start(ctx) }()
	return s, func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Errorf("Start: %v", err)
		}
	}
}

func (c *cluster) configurations() (*admissionv1.MutatingWebhookConfiguration, *admissionv1.ValidatingWebhookConfiguration) {
	c.t.Helper()
	var m admissionv1.MutatingWebhookConfiguration
	var v admissionv1.ValidatingWebhookConfiguration
	for _, o := range []client.Object{&m, &v} {
		if err := c.Get(c.t.Context(), client.ObjectKey{Name: "aa-twelvefold"}, o); err != nil {
			c.t.Fatal(err)
		}
	}
	return &m, &v
}

// bundles are all the caBundles that the API server has.
func (c *cluster) bundles() [][]byte {
	c.t.Helper()
	m, v := c.configurations()
	return [][]byte{m.Webhooks[0].ClientConfig.CABundle, v.Webhooks[0].ClientConfig.CABundle, v.Webhooks[1].ClientConfig.CABundle}
}

// bundle is the caBundle, which all webhooks must agree on.
func (c *cluster) bundle() []byte {
	c.t.Helper()
	all := c.bundles()
	for _, b := range all[1:] {
		if !bytes.Equal(all[0], b) {
			c.t.Fatal("the caBundles differ")
		}
	}
	return all[0]
}

func (c *cluster) secret() *corev1.Secret {
	c.t.Helper()
	var s corev1.Secret
	if err := c.Get(c.t.Context(), client.ObjectKey{Namespace: "twelvefold", Name: "twelvefold-ca"}, &s); err != nil {
		c.t.Fatal(err)
	}
	return &s
}

func (c *cluster) update(o client.Object) {
	c.t.Helper()
	if err := c.Update(c.t.Context(), o); err != nil {
		c.t.Fatal(err)
	}
}

// handshake connects as the API server does, trusting the bundle and nothing else.
func handshake(s certs.Source, bundle []byte) (*x509.Certificate, error) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	near.SetDeadline(time.Now().Add(time.Second)) // a pipe has no buffer: a client that gives up can meet a server that is still writing
	go tls.Server(far, &tls.Config{GetCertificate: s.GetCertificate}).Handshake()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	conn := tls.Client(near, &tls.Config{RootCAs: roots, ServerName: serverName})
	if err := conn.Handshake(); err != nil {
		return nil, err
	}
	return conn.ConnectionState().PeerCertificates[0], nil
}

func mustShake(t *testing.T, s certs.Source, bundle []byte) *x509.Certificate {
	t.Helper()
	cert, err := handshake(s, bundle)
	if err != nil {
		t.Fatalf("handshake at %s: %v", time.Now(), err)
	}
	return cert
}

// checkNoKeyIn fails if the text holds a line of a key of the Secret.
func (c *cluster) checkNoKeyIn(text string) {
	c.t.Helper()
	for name, value := range c.secret().Data {
		if !strings.HasSuffix(name, ".key") {
			continue
		}
		for line := range strings.Lines(string(value)) {
			if strings.Contains(text, strings.TrimSpace(line)) {
				c.t.Errorf("%s is in:\n%s", name, text)
			}
		}
	}
}
