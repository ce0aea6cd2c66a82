package certs_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"twelvefold.dev/certs"
)

const (
	serverName = "twelvefold-webhook.twelvefold.svc"
	day        = 24 * time.Hour
)

func TestBootstrap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, interceptor.Funcs{})
		s := c.replica(certs.Options{})
		synctest.Wait()

		leaf := mustShake(t, s, c.bundle())
		if err := s.Ready(nil); err != nil {
			t.Error(err)
		}
		if got := s.NotAfter(); !got.Equal(leaf.NotAfter) || !got.Equal(time.Now().Add(7*day)) {
			t.Errorf("NotAfter = %s, the certificate's is %s", got, leaf.NotAfter)
		}
		if diff := cmp.Diff([]string{serverName, serverName + ".cluster.local"}, leaf.DNSNames); diff != "" {
			t.Errorf("names (-want +got):\n%s", diff)
		}
		if s.NeedLeaderElection() {
			t.Error("it would run in one replica only")
		}
		c.checkNoKeyIn(c.logged())
	})
}

func TestReplicasAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var created sync.Map
		c := newCluster(t, interceptor.Funcs{
			Update: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
				created.Store(string(o.(*corev1.Secret).Data["ca.crt"]), true)
				time.Sleep(time.Millisecond) // of the bubble, which passes when all of them have read the empty Secret
				return w.Update(ctx, o, opts...)
			},
		})
		var replicas []*certs.SelfManaged
		for range 5 {
			replicas = append(replicas, c.replica(certs.Options{}))
		}
		time.Sleep(10 * time.Second) // of the bubble: conflicts are retried in less

		tried := 0
		created.Range(func(any, any) bool { tried++; return true })
		if tried < 2 {
			t.Fatalf("%d CAs were made: there was no race", tried)
		}
		if n := bytes.Count(c.bundle(), []byte("BEGIN")); n != 1 {
			t.Errorf("%d CAs are public, want one", n)
		}
		for _, r := range replicas {
			mustShake(t, r, c.bundle())
		}
	})
}

// TestRotationUnderRequests lets a week pass. The API server takes half the settle time to notice a new caBundle, and one of
// the replicas restarts all the time, so that new certificates are signed at every moment of a rotation.
func TestRotationUnderRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, interceptor.Funcs{})
		o := certs.Options{CALifetime: 3 * day, LeafLifetime: 12 * time.Hour, Settle: time.Hour, Poll: 10 * time.Minute}
		replicas := []*certs.SelfManaged{c.replica(o), c.replica(o)}
		time.Sleep(time.Minute)

		issuers, serials := map[string]bool{}, map[string]bool{}
		request := func(r *certs.SelfManaged, bundle []byte) *x509.Certificate {
			if err := r.Ready(nil); err != nil {
				t.Fatal(err)
			}
			leaf := mustShake(t, r, bundle)
			if left := time.Until(leaf.NotAfter); left < o.LeafLifetime/3-o.Poll {
				t.Fatalf("only %s of the certificate are left", left)
			}
			issuers[leaf.Issuer.CommonName] = true
			return leaf
		}
		requests := func(bundle func() []byte) {
			restarted, stop := c.start(o)
			defer stop()
			synctest.Wait()
			trusted := bundle()
			request(restarted, trusted)
			for _, r := range replicas {
				serials[request(r, trusted).SerialNumber.String()] = true
			}
		}

		const step = 15 * time.Minute
		noticed := slices.Repeat([][]byte{c.bundle()}, int(o.Settle/2/step)) // the newest last
		for end := time.Now().Add(8 * day); time.Now().Before(end); time.Sleep(step) {
			requests(func() []byte {
				noticed = append(noticed[1:], c.bundle())
				return noticed[0]
			})
		}
		// A CA is replaced every 2 days, a certificate every 8 hours at the latest.
		if len(issuers) < 4 || len(serials) < 2*8*3-6 {
			t.Errorf("%d CAs and %d certificates in 8 days", len(issuers), len(serials))
		}
		if n := bytes.Count(c.bundle(), []byte("BEGIN")); n > 3 {
			t.Errorf("%d CAs are public", n)
		}
		c.checkNoKeyIn(c.logged())
	})
}

func TestRepair(t *testing.T) {
	for name, tt := range map[string]struct {
		damage   func(map[string][]byte)
		logged   string
		survives bool // no request fails meanwhile
	}{
		"key lost":         {func(d map[string][]byte) { delete(d, "ca.key") }, "ca.key: holds no PEM key", true},
		"key mangled":      {func(d map[string][]byte) { d["ca.key"] = d["ca.key"][:40] }, "ca.key: holds no PEM key", true},
		"certificate lost": {func(d map[string][]byte) { delete(d, "ca.crt") }, "ca.crt: holds 0 certificates", false},
		"rubbish":          {func(d map[string][]byte) { d["ca.crt"], d["ca.key"] = []byte{0xff}, []byte("%s") }, "ca.crt: holds something", false},
		"emptied":          {func(d map[string][]byte) { clear(d) }, "made twelvefold-ca-", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, interceptor.Funcs{})
				s := c.replica(certs.Options{})
				synctest.Wait()
				before := c.bundle()

				secret := c.secret()
				tt.damage(secret.Data)
				c.update(secret)
				synctest.Wait() // for the watch: no time passes

				if !strings.Contains(c.logged(), tt.logged) {
					t.Errorf("no %q in the log:\n%s", tt.logged, c.logged())
				}
				c.checkNoKeyIn(c.logged())
				mustShake(t, s, c.bundle())
				if tt.survives {
					mustShake(t, s, before)
				}
				restarted := c.replica(certs.Options{})
				synctest.Wait()
				mustShake(t, restarted, c.bundle())
			})
		})
	}
}

func TestOverwrittenBundleIsPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, interceptor.Funcs{})
		s := c.replica(certs.Options{})
		synctest.Wait()
		want := c.bundle()

		m, v := c.configurations()
		m.Webhooks[0].ClientConfig.CABundle = nil
		v.Webhooks[1].ClientConfig.CABundle = []byte("something else")
		c.update(m)
		c.update(v)
		synctest.Wait()

		if !bytes.Equal(want, c.bundle()) {
			t.Error("the caBundle is another than before")
		}
		mustShake(t, s, c.bundle())
	})
}

// A CA that somebody takes out of a caBundle while it waits must not sign before it was there for the whole settle time.
func TestNextWaitsAgainAfterAnOverwrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, interceptor.Funcs{})
		s := c.replica(certs.Options{CALifetime: 30 * day, Poll: 5 * time.Minute})
		time.Sleep(20*day + 30*time.Minute)
		next := c.secret().Data["next.crt"]
		if len(next) == 0 {
			t.Fatal("no next CA half an hour after it was due")
		}
		m, _ := c.configurations()
		m.Webhooks[0].ClientConfig.CABundle = bytes.ReplaceAll(m.Webhooks[0].ClientConfig.CABundle, next, nil)
		c.update(m)

		time.Sleep(45 * time.Minute) // an hour and a quarter after the first publication
		if got := c.secret().Data["next.crt"]; !bytes.Equal(got, next) {
			t.Error("the CA signs too early")
		}
		time.Sleep(30 * time.Minute)
		if got := c.secret().Data["ca.crt"]; !bytes.Equal(got, next) {
			t.Error("the CA doesn't sign after the settle time")
		}
		mustShake(t, s, c.bundle())
	})
}

func TestPatchHoldsOnlyTheBundles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var patches []string
		c := newCluster(t, interceptor.Funcs{
			Patch: func(ctx context.Context, w client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				data, err := p.Data(o)
				if err != nil {
					return err
				}
				patches = append(patches, fmt.Sprintf("%s %s", p.Type(), data))
				return w.Patch(ctx, o, p, opts...)
			},
		})
		c.replica(certs.Options{})
		time.Sleep(time.Hour) // many polls, but nothing more to patch

		if len(patches) != 2 {
			t.Fatalf("%d patches, want one for each configuration: %q", len(patches), patches)
		}
		want := `application/strategic-merge-patch+json {"metadata":{"resourceVersion":"999"},"webhooks":[` +
			`{"clientConfig":{"caBundle":"` + base64.StdEncoding.EncodeToString(c.bundle()) + `"},"name":"pods.twelvefold.dev"}]}`
		if diff := cmp.Diff(want, strings.Replace(patches[0], `"$setElementOrder/webhooks":[{"name":"pods.twelvefold.dev"}],`, "", 1)); diff != "" {
			t.Errorf("patch (-want +got):\n%s", diff)
		}
	})
}

func TestUnreadyUntilPublished(t *testing.T) {
	for missing, hint := range map[string]string{
		"twelvefold-ca": "kubectl create secret generic -n twelvefold twelvefold-ca",
		"aa-twelvefold": "MutatingWebhookConfiguration aa-twelvefold, which the chart installs, is missing",
	} {
		t.Run(missing, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				complete := newCluster(t, interceptor.Funcs{})
				c := newCluster(t, interceptor.Funcs{}, missing)
				s := c.replica(certs.Options{})
				synctest.Wait()
				err := s.Ready(nil)
				if err == nil || !strings.Contains(err.Error(), hint) {
					t.Fatalf("Ready = %v, want %q", err, hint)
				}
				m, v := complete.configurations()
				for _, o := range []client.Object{complete.secret(), m, v} {
					if o.GetName() == missing {
						o.SetResourceVersion("")
						if err := c.Create(t.Context(), o); err != nil {
							t.Fatal(err)
						}
					}
				}
				synctest.Wait()
				if err := s.Ready(nil); err != nil {
					t.Error(err)
				}
				mustShake(t, s, c.bundle())
			})
		})
	}
}

// Deleted configurations cost nothing: the certificate is renewed, and fits when they are back.
func TestOutageOfTheConfigurations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, interceptor.Funcs{})
		s := c.replica(certs.Options{Poll: time.Hour})
		synctest.Wait()
		bundle := c.bundle()
		_, v := c.configurations()
		if err := c.Delete(t.Context(), v); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * day)
		mustShake(t, s, bundle)
		if err := s.Ready(nil); err != nil {
			t.Error(err)
		}
	})
}

func TestExpiryIsUnready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, interceptor.Funcs{})
		s := c.replica(certs.Options{Poll: time.Hour})
		synctest.Wait()
		if err := c.Delete(t.Context(), c.secret()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * day)
		if err := s.Ready(nil); err != nil {
			t.Errorf("after 6 days: %v", err)
		}
		time.Sleep(2 * day)
		if err := s.Ready(nil); err == nil || !strings.Contains(err.Error(), "expired at") {
			t.Errorf("after 8 days: Ready = %v", err)
		}
	})
}

func TestNewSelfManagedRefuses(t *testing.T) {
	for name, o := range map[string]certs.Options{
		"must be named":  {Namespace: "a", Service: "b"},
		"settle time":    {Namespace: "a", Service: "b", Configuration: "c", CALifetime: day},
		"the poll inter": {Namespace: "a", Service: "b", Configuration: "c", Poll: 365 * day},
	} {
		if _, err := certs.NewSelfManaged(nil, o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error = %v, want %q", err, name)
		}
	}
}
