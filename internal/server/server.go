// Package server is the webhook's process: it wires caches, certificates, policy and endpoints to controller-runtime's
// manager, and stops without losing a request.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"twelvefold.dev/certs"
	"twelvefold.dev/internal/admission"
	"twelvefold.dev/internal/cluster"
	"twelvefold.dev/internal/keyvault/catalog"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/store"
	"twelvefold.dev/internal/registry"
)

// Run serves until the context ends, and then for another o.DrainDelay. A nil config is the one of the pod or of the
// user's kubeconfig.
func Run(ctx context.Context, o Options, restConfig *rest.Config, log *slog.Logger) error {
	ctrl.SetLogger(logr.FromSlogHandler(log.Handler()))
	if restConfig == nil {
		var err error
		if restConfig, err = ctrl.GetConfig(); err != nil {
			return err
		}
	}
	live, err := client.NewWithWatch(restConfig, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	certificates, err := newCertificates(o, live, log)
	if err != nil {
		return err
	}
	mgr, err := newManager(o, restConfig, certificates)
	if err != nil {
		return err
	}
	drained := &drain{delay: o.DrainDelay, log: log}
	if err := assemble(mgr, o, live, certificates, drained, log); err != nil {
		return err
	}
	return mgr.Start(drained.after(ctx))
}

func newCertificates(o Options, live client.WithWatch, log *slog.Logger) (certs.Source, error) {
	if o.TLSDir != "" {
		return certs.NewMounted(o.TLSDir)
	}
	return certs.NewSelfManaged(live, certs.Options{Namespace: o.Namespace, Service: o.ServiceName, Secret: o.CASecret,
		Configuration: o.WebhookConfig, Log: log})
}

// newManager limits the caches to what is asked of them: the policy, opted-in namespaces, service accounts' metadata.
func newManager(o Options, restConfig *rest.Config, certificates certs.Source) (ctrl.Manager, error) {
	return ctrl.NewManager(restConfig, ctrl.Options{
		Scheme: scheme.Scheme,
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&corev1.ConfigMap{}: {
					Namespaces: map[string]cache.Config{o.Namespace: {}},
					Field:      fields.OneTermEqualSelector("metadata.name", o.PolicyName),
				},
				&corev1.Namespace{}: {Label: labels.SelectorFromSet(labels.Set{cluster.OptInLabel: "enabled"})},
			},
		},
		Controller: config.Controller{NeedLeaderElection: new(bool)},
		Metrics:    metricsserver.Options{BindAddress: o.MetricsAddr},
		WebhookServer: webhook.NewServer(webhook.Options{Host: o.BindAddress, Port: o.Port, TLSOpts: []func(*tls.Config){
			func(c *tls.Config) { c.GetCertificate = certificates.GetCertificate },
		}}),
	})
}

// assemble adds everything that runs, and what readiness waits for.
func assemble(mgr ctrl.Manager, o Options, live client.Client, certificates certs.Source, drained *drain, log *slog.Logger) error {
	versions, err := discovery.NewDiscoveryClientForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("discovery: %w", err)
	}
	objects, err := newObjects(mgr, o, live, versions, log)
	if err != nil {
		return err
	}
	knowledge := &cluster.Cluster{Cache: mgr.GetCache(), Live: live, Discovery: versions, Objects: objects, Excluded: append(slices.Clone(o.Excluded), o.Namespace), Log: log}
	policies := &store.Store{Client: live, Recorder: mgr.GetEventRecorder("twelvefold"), Log: log,
		Name:     client.ObjectKey{Namespace: o.Namespace, Name: o.PolicyName},
		LastGood: client.ObjectKey{Namespace: o.Namespace, Name: o.PolicyName + "-last-good"}}
	policies.RegisterMetrics(ctrlmetrics.Registry)
	access, err := newAzureAccess(o, policies.Policy, log)
	if err != nil {
		return err
	}
	ctrlmetrics.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "twelvefold_certificate_expiry_timestamp_seconds",
		Help: "When the serving certificate ends, in seconds since 1970; 0 while there is none.",
	}, func() float64 { return seconds(certificates.NotAfter()) }))

	images := registry.New(registry.Options{Log: log})
	webhooks := &admission.Webhooks{Cluster: knowledge, Policy: policies.Policy, AgentImage: o.AgentImage, Log: log,
		Entrypoint: images.For,
		Metrics:    admission.NewMetrics(ctrlmetrics.Registry), Now: time.Now}
	if access != nil {
		vaults := catalog.New(access.lister, log, catalog.NewMetrics(ctrlmetrics.Registry))
		webhooks.Secret = vaults.Lookup
		policies.Changed = func(p *policy.Policy) { vaults.Warm(verifiedVaults(p)) }
		if err := mgr.Add(vaults); err != nil {
			return err
		}
	}
	webhooks.Register(mgr.GetWebhookServer())

	health, err := healthServer(o.HealthAddr, []check{
		{name: "certificate", ok: certificates.Ready},
		{name: "webhook", ok: func(r *http.Request) error { // its handshake without a certificate would only fill the log
			if err := certificates.Ready(r); err != nil {
				return err
			}
			return mgr.GetWebhookServer().StartedChecker()(r)
		}},
		{name: "policy", ok: policies.Ready, note: policies.Problem},
		{name: "versions", ok: knowledge.Ready},
		{name: "objects", ok: objects.Ready},
		{name: "serving", ok: drained.Ready},
	})
	if err != nil {
		return err
	}
	err = errors.Join(
		mgr.Add(health), mgr.Add(certificates), mgr.Add(knowledge), mgr.Add(objects),
		addRollout(mgr, o, knowledge, webhooks, access, policies.Ready),
		addScan(mgr, o, knowledge, webhooks, images, policies.Ready),
		ctrl.NewControllerManagedBy(mgr).Named("policy").For(&corev1.ConfigMap{}).WatchesRawSource(policies.Source()).Complete(policies),
	)
	if err != nil {
		return err
	}
	return warmUp(mgr.GetCache())
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}

// drain keeps serving for a while after the signal to stop: unready at once, so that endpoints and connections move
// elsewhere, and closed only then.
type drain struct {
	delay    time.Duration
	log      *slog.Logger
	draining atomic.Bool
}

// Ready fails once the signal has come.
func (d *drain) Ready(*http.Request) error {
	if d.draining.Load() {
		return errors.New("draining")
	}
	return nil
}

// after is a context that ends the delay later than the one given.
func (d *drain) after(ctx context.Context) context.Context {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer cancel()
		<-ctx.Done()
		d.draining.Store(true)
		d.log.Info("draining", "delay", d.delay)
		time.Sleep(d.delay)
	}()
	return later
}
