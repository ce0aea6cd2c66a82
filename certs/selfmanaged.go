package certs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var errNoCertificate = errors.New("there is no serving certificate yet")

// Options of a [SelfManaged] source. Namespace, Service and Configuration have no default.
type Options struct {
	Namespace     string // of the Service and the Secret
	Service       string // that the webhook configurations name
	Secret        string // that holds the CA; default twelvefold-ca
	Configuration string // name of both the mutating and the validating webhook configuration

	CALifetime   time.Duration // default 1 year; the next CA is made when a third is left
	LeafLifetime time.Duration // of serving certificates, renewed when a third is left; default 7 days
	Settle       time.Duration // from a CA's publication to its first signature; default 1 hour
	Poll         time.Duration // how often to look, beside watching; default 1 minute

	Log *slog.Logger // default slog.Default()
}

func (o *Options) setDefaults() error {
	if o.Namespace == "" || o.Service == "" || o.Configuration == "" {
		return errors.New("self-managed certificates: namespace, service and webhook configuration must be named")
	}
	o.Secret = cmp.Or(o.Secret, "twelvefold-ca")
	o.CALifetime = cmp.Or(o.CALifetime, 365*24*time.Hour)
	o.LeafLifetime = cmp.Or(o.LeafLifetime, 7*24*time.Hour)
	o.Settle = cmp.Or(o.Settle, time.Hour)
	o.Poll = cmp.Or(o.Poll, time.Minute)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.LeafLifetime+o.Settle+o.Poll > o.CALifetime/3 {
		return fmt.Errorf("self-managed certificates: a third of the CA's lifetime of %s must hold "+
			"a serving certificate's (%s), the settle time (%s) and the poll interval (%s)",
			o.CALifetime, o.LeafLifetime, o.Settle, o.Poll)
	}
	return nil
}

// SelfManaged is a certificate that this replica signs with a CA in a Secret, which all replicas share.
type SelfManaged struct {
	Options
	client   client.WithWatch
	rotation rotation
	names    []string

	leaf   atomic.Pointer[tls.Certificate]
	public atomic.Pointer[[]byte] // the caBundle that was last seen or put in all configurations
	failed atomic.Pointer[error]  // of the last look
}

// NewSelfManaged makes a source that does nothing before Start. The client must not read from a cache. It needs these rights, all
// limited to the names in the options: get, update and watch of the Secret; get, patch and watch of both webhook configurations.
func NewSelfManaged(c client.WithWatch, o Options) (*SelfManaged, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	host := o.Service + "." + o.Namespace + ".svc"
	return &SelfManaged{
		Options:  o,
		client:   c,
		rotation: rotation{lifetime: o.CALifetime, settle: o.Settle, make: newAuthority},
		names:    []string{host, host + ".cluster.local"},
	}, nil
}

// GetCertificate returns the newest certificate.
func (s *SelfManaged) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if leaf := s.leaf.Load(); leaf != nil {
		return leaf, nil
	}
	return nil, errNoCertificate
}

// NeedLeaderElection is false: every replica signs its own certificate.
func (s *SelfManaged) NeedLeaderElection() bool { return false }

// NotAfter is the end of the certificate's validity, zero while there is none.
func (s *SelfManaged) NotAfter() time.Time {
	if leaf := s.leaf.Load(); leaf != nil {
		return leaf.Leaf.NotAfter
	}
	return time.Time{}
}

// Ready fails while there is no valid certificate, or its CA has never been published. Later trouble with the API server
// changes nothing: the certificate goes on to serve.
func (s *SelfManaged) Ready(*http.Request) error {
	err := checkValidity(s.leaf.Load(), time.Now())
	if err == nil && s.public.Load() == nil {
		err = errors.New("the CA is not yet in the webhook configurations")
	}
	if failed := s.failed.Load(); err != nil && failed != nil && *failed != nil {
		err = fmt.Errorf("%w: %w", err, *failed)
	}
	return err
}

// Start looks at the Secret and the configurations whenever one of them changes, and at every poll, until the context ends.
// Failures are logged and repeated, never returned.
func (s *SelfManaged) Start(ctx context.Context) error {
	var watches sync.WaitGroup
	defer watches.Wait()
	changed := make(chan struct{}, 1)
	watches.Go(func() { s.watch(ctx, changed, &corev1.SecretList{}, s.Secret, client.InNamespace(s.Namespace)) })
	watches.Go(func() { s.watch(ctx, changed, &admissionv1.MutatingWebhookConfigurationList{}, s.Configuration) })
	watches.Go(func() { s.watch(ctx, changed, &admissionv1.ValidatingWebhookConfigurationList{}, s.Configuration) })

	for {
		again := s.Poll
		err := retry.RetryOnConflict(retry.DefaultBackoff, func() error { return s.look(ctx) })
		s.failed.Store(&err)
		if err != nil && ctx.Err() == nil {
			s.Log.Error("serving certificate", "error", err)
			again /= 10
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(again):
		}
	}
}

// watch reports changes of the object until the context ends. A watch that fails costs time only, as there is the poll.
func (s *SelfManaged) watch(ctx context.Context, changed chan<- struct{}, list client.ObjectList, name string, opts ...client.ListOption) {
	opts = append(opts, client.MatchingFields{"metadata.name": name})
	for ctx.Err() == nil {
		again := min(s.Poll, time.Second) // servers end watches after some minutes
		if w, err := s.client.Watch(ctx, list, opts...); err == nil {
			report(ctx, changed, w.ResultChan())
			w.Stop()
		} else if ctx.Err() == nil {
			again = s.Poll
			s.Log.Warn("no watch for the serving certificate", "object", name, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

// report writes to changed, unless that is full, for each of the events.
func report[E any](ctx context.Context, changed chan<- struct{}, events <-chan E) {
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-events:
			if !ok {
				return
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}
}

// look takes the steps that are due, publishes the CAs and renews the certificate. A conflict with another replica is its error.
func (s *SelfManaged) look(ctx context.Context) error {
	now := time.Now()
	bundles, unpublished := readBundles(ctx, s.client, s.Configuration) // before the Secret: see the package's documentation
	current, err := s.rotate(ctx, bundles, now)
	if err != nil {
		return errors.Join(err, unpublished)
	}
	trusted := encodeCerts(current.trusted()...)
	if unpublished == nil {
		unpublished = bundles.publish(ctx, s.client, trusted, s.Log)
	}
	if unpublished == nil {
		s.public.Store(&trusted)
	}
	return errors.Join(s.renew(current, now), unpublished)
}

// rotate brings the Secret to the state that is due, and returns that.
func (s *SelfManaged) rotate(ctx context.Context, bundles bundles, now time.Time) (state, error) {
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: s.Namespace, Name: s.Secret}
	if err := s.client.Get(ctx, key, &secret); apierrors.IsNotFound(err) {
		return state{}, fmt.Errorf("no Secret %s, which the chart installs empty to hold the CA: "+
			"run `helm upgrade` for the release, or `kubectl create secret generic -n %s %s`", key, s.Namespace, s.Secret)
	} else if err != nil {
		return state{}, fmt.Errorf("read Secret %s: %w", key, err)
	}

	current, problems := decode(secret.Data)
	due, steps, err := s.rotation.next(current, bundles.hold(current.next), now)
	if err != nil || len(steps) == 0 && len(problems) == 0 {
		return due, err
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	if err := due.encode(secret.Data); err != nil {
		return state{}, err
	}
	if err := s.client.Update(ctx, &secret); err != nil {
		return state{}, fmt.Errorf("update Secret %s: %w", key, err)
	}
	for _, p := range problems {
		s.Log.Error("repaired the CA's Secret", "secret", key.String(), "problem", p)
	}
	for _, step := range steps {
		s.Log.Info("CA rotation", "secret", key.String(), "step", step)
	}
	return due, nil
}

// renew signs a new certificate unless the one in use is good for longer, or it is at least valid while nobody knows the CA yet.
func (s *SelfManaged) renew(current state, now time.Time) error {
	if leaf := s.leaf.Load(); leaf != nil && leaf.Leaf.NotAfter.After(now) {
		known := s.public.Load()
		if known == nil || !bytes.Contains(*known, encodeCerts(current.current.cert)) {
			return nil
		}
		roots := x509.NewCertPool()
		for _, c := range current.trusted() {
			roots.AddCert(c)
		}
		_, err := leaf.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: s.names[0], CurrentTime: now})
		if err == nil && leaf.Leaf.NotAfter.Sub(now) > s.LeafLifetime/3 {
			return nil
		}
	}
	leaf, err := current.current.sign(s.names, now, s.LeafLifetime)
	if err != nil {
		return err
	}
	s.leaf.Store(leaf)
	s.Log.Info("signed a serving certificate", "ca", name(current.current), "notAfter", leaf.Leaf.NotAfter)
	return nil
}
