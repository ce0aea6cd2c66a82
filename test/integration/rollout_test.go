package integration

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/election"
	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/keyvault/azure"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/rollout"
)

const vaultHost = "shop.vault.azure.net"

// vault is an emulator with a vault, and a client that may read its metadata only.
func vault(t *testing.T) (*emulator.Emulator, *azure.Client) {
	t.Helper()
	const auditor = "33333333-3333-4333-8333-333333333333"
	cluster, err := emulator.NewCluster("https://kubernetes.default.svc.cluster.local")
	if err != nil {
		t.Fatal(err)
	}
	e, err := emulator.Start(t.Context(), emulator.Config{Issuers: []emulator.Issuer{cluster.Issuer()}, Seed: emulator.Seed{
		Vaults: []emulator.Vault{{Host: vaultHost}},
		Identities: []emulator.Identity{{ClientID: auditor, Federated: []emulator.Federated{{Subject: "*"}},
			Roles: map[string]emulator.Role{"*": emulator.Reader}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	token, err := cluster.Token(release, "twelvefold-webhook")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy, err := url.Parse(e.ProxyURL())
	if err != nil {
		t.Fatal(err)
	}
	http, err := azure.HTTPClient(func(*url.URL) (*url.URL, error) { return proxy, nil }, e.CAPEM())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(http.CloseIdleConnections)
	c, err := azure.New(azure.Config{HTTP: http, Identity: azure.Identity{ClientID: auditor, TenantID: emulator.DefaultTenant, TokenFile: file}})
	if err != nil {
		t.Fatal(err)
	}
	return e, c
}

// allowRollouts gives a service account the rights that the chart gives for rollouts, and an empty Lease.
func allowRollouts(t *testing.T, ns, account string) {
	t.Helper()
	allow(t, ns, account, rollout.LeaseName, []rbacv1.PolicyRule{
		{APIGroups: []string{"apps"}, Resources: []string{"deployments", "statefulsets", "daemonsets"}, Verbs: []string{"list", "patch"}},
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}},
		{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
	})
}

// roller is a configuration with these rights, and no others.
func roller(t *testing.T, ns string) *rest.Config {
	t.Helper()
	allowRollouts(t, ns, "roller")
	return as(ns, "roller")
}

// secretDeployment is at rest, though nobody works on it here, and asks to be rolled out.
func secretDeployment(t *testing.T, ns string) *appsv1.Deployment {
	t.Helper()
	labels := map[string]string{"app.kubernetes.io/name": "app"}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "api"}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{"twelvefold.dev/rotation": "rollout"}},
			Spec: corev1.PodSpec{ServiceAccountName: "api", Containers: []corev1.Container{{Name: "app", Image: "app:1", Env: []corev1.EnvVar{{Name: "DB", Value: reference}}}}}}}}
	create(t, d)
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1}
	if err := admin.Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	return d
}

// told is the change that the template of the Deployment tells of.
func told(t *testing.T, d *appsv1.Deployment) string {
	t.Helper()
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(d), d); err != nil {
		t.Fatal(err)
	}
	return d.Spec.Template.Annotations[rollout.ChangedAnnotation]
}

// rolledOut has the webhook's own process see a change of a secret.
func rolledOut(t *testing.T, w azureWorld) {
	ns := optedIn(t)
	d, p := secretDeployment(t, ns), pod(ns, "app:1")
	create(t, p)
	until(t, "a second has passed, which is how exact times are", func() bool { return time.Since(p.CreationTimestamp.Time) > 2*time.Second })
	if text := told(t, d); text != "" {
		t.Errorf("rolled out before a secret changed: %s", text)
	}
	if _, err := w.SetSecret(shopVault, emulator.Secret{Name: "db-password", Value: "w"}); err != nil {
		t.Fatal(err)
	}
	until(t, "the Deployment is rolled out", func() bool { return told(t, d) != "" })
}

// A changed secret makes one rollout, by the replica that holds the Lease.
func TestRollout(t *testing.T) {
	azure, versions := vault(t)
	secret := func(value string) {
		t.Helper()
		if _, err := azure.SetSecret(vaultHost, emulator.Secret{Name: "db-password", Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	secret("first")
	ns := namespace(t, nil)
	d, p := secretDeployment(t, ns), pod(ns, "app:1")
	p.Annotations, p.Spec.ServiceAccountName = map[string]string{statusAnnotation: "{}"}, ""
	create(t, p)

	runRollouts(t, ns, versions)
	polls := func() (n int) {
		for _, r := range azure.Requests() {
			if strings.HasSuffix(r.Path, "/db-password/versions") && r.Status == 200 {
				n++
			} else if r.Host == vaultHost && r.Status == 200 {
				t.Errorf("it asked for %s", r.Path)
			}
		}
		return n
	}
	pollsMore := func() {
		t.Helper()
		begin := polls()
		until(t, "Key Vault was asked twice more", func() bool { return polls() >= begin+2 })
	}
	pollsMore()
	if text := told(t, d); text != "" {
		t.Fatalf("rolled out, though nothing has changed since the pod was made: %s", text)
	}
	until(t, "a second has passed, which is how exact times are", func() bool { return time.Since(p.CreationTimestamp.Time) > 2*time.Second })
	secret("second")
	until(t, "the Deployment is rolled out", func() bool { return told(t, d) != "" })
	rolled := d.Generation
	until(t, "an Event tells of it", func() bool {
		var list eventsv1.EventList
		if err := admin.List(t.Context(), &list, client.InNamespace(ns)); err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Items {
			if e.Reason == "SecretsChanged" && e.Regarding.Name == "api" && strings.Contains(e.Note, "secret db-password in vault "+vaultHost) {
				return true
			}
		}
		return false
	})
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1}
	if err := admin.Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if pollsMore(); told(t, d) == "" || d.Generation != rolled {
		t.Errorf("generation %d, and %d after the rollout", d.Generation, rolled)
	}
}

// runRollouts runs the controller as the webhook does, with the chart's rights, until the test ends.
func runRollouts(t *testing.T, ns string, versions rollout.Versions) {
	t.Helper()
	inForce := policy.Default(rules.Catalogue{})
	elect(t, roller(t, ns), ns, rollout.LeaseName, func(string) {}, func(direct client.Client, recorder events.EventRecorder, log *slog.Logger) func(context.Context) {
		controller := &rollout.Controller{Client: direct, Versions: versions, Recorder: recorder,
			Namespaces: func(context.Context) ([]string, error) { return []string{ns}, nil }, Policy: func() *policy.Policy { return inForce },
			Input: func(_ context.Context, o manifest.Object) review.Input {
				return review.Input{Object: o, Policy: inForce, Facts: policy.Facts{Namespace: ns, AgentImage: "agent:1", Kubernetes: policy.Kubernetes{APIServer: 37}},
					ServiceAccount: func(string) (map[string]string, error) {
						return map[string]string{"azure.workload.identity/client-id": "22222222-2222-4222-8222-222222222222", "azure.workload.identity/tenant-id": "t"}, nil
					}}
			},
			Log: log, Metrics: rollout.NewMetrics(prometheus.NewRegistry()), Options: rollout.Options{Interval: 100 * time.Millisecond}}
		return controller.Run
	})
}

// Another replica takes over from one that stops, and not before.
func TestOneReplicaAtATime(t *testing.T) {
	ns := namespace(t, nil)
	limited := roller(t, ns)
	var running atomic.Int32
	stand := func() (stop func(), leads chan struct{}) {
		lock, err := election.NewLock(limited, ns, rollout.LeaseName)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		leads = make(chan struct{})
		begin := sync.OnceFunc(func() { close(leads) }) // a busy machine may lose its Lease, and get it again
		elected := &election.Elected{Lock: lock, Log: slog.New(slog.DiscardHandler), Run: func(ctx context.Context) {
			if n := running.Add(1); n != 1 {
				t.Errorf("%d replicas at a time", n)
			}
			defer running.Add(-1)
			begin()
			<-ctx.Done()
		}}
		done := make(chan error, 1)
		go func() { done <- elected.Start(ctx) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}, leads
	}
	stopFirst, first := stand()
	<-first
	stopSecond, second := stand()
	defer stopSecond()
	var lease coordinationv1.Lease
	holder := func() string {
		if err := admin.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: rollout.LeaseName}, &lease); err != nil {
			t.Fatal(err)
		}
		return *lease.Spec.HolderIdentity
	}
	held, renewed := holder(), lease.Spec.RenewTime.Time
	until(t, "the Lease is renewed", func() bool { return holder() == held && lease.Spec.RenewTime.After(renewed) })
	select {
	case <-second:
		t.Error("the second leads while the first does")
	default:
	}
	stopFirst()
	<-second
	if holder() == held {
		t.Error("the Lease still names the first")
	}
}
