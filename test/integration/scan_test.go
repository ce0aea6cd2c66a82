package integration

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/election"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/scan"
)

// scannerConfig is a configuration with the rights that the chart gives for the scan, and no others, and an empty Lease.
func scannerConfig(t *testing.T, ns string) *rest.Config {
	t.Helper()
	name := unique("scanner")
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"apps"}, Resources: []string{"deployments", "statefulsets", "daemonsets"}, Verbs: []string{"list"}},
		{APIGroups: []string{"batch"}, Resources: []string{"cronjobs", "jobs"}, Verbs: []string{"list"}},
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}},
		{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, ResourceNames: []string{scan.LeaseName}, Verbs: []string{"get", "update"}},
	}}
	create(t, role, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "scanner", Namespace: ns}}},
		&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: scan.LeaseName}})
	limited := rest.CopyConfig(config)
	limited.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + ns + ":scanner"}
	return limited
}

// TestScan finds a workload that no webhook has seen, page by page, and tells of it once.
func TestScan(t *testing.T) {
	ns := namespace(t, nil)
	labels := map[string]string{"app.kubernetes.io/name": "app"}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "api"}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app:latest"}}}}}}
	create(t, d)
	const pods = 201 // one more than a page
	for range pods {
		p := pod(ns, "app:1")
		p.Spec.ServiceAccountName = ""
		create(t, p)
	}
	registry := prometheus.NewRegistry()
	runScanner(t, ns, registry)

	want := `# HELP twelvefold_scan_findings Findings in workloads that run, as of the last scan, by namespace, rule and level.
# TYPE twelvefold_scan_findings gauge
twelvefold_scan_findings{level="deny",namespace="` + ns + `",rule="mutable-tag"} 1
twelvefold_scan_findings{level="warn",namespace="` + ns + `",rule="bare-pod"} 201
`
	until(t, "the metrics tell of it", func() bool {
		return testutil.GatherAndCompare(registry, strings.NewReader(want), "twelvefold_scan_findings") == nil
	})
	about := func() (told []eventsv1.Event) {
		var list eventsv1.EventList
		if err := admin.List(t.Context(), &list, client.InNamespace(ns)); err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Items {
			if e.Reason == "NotTwelveFactor" && e.Regarding.Kind == "Deployment" {
				told = append(told, e)
			}
		}
		return told
	}
	until(t, "an Event tells of it", func() bool { return len(about()) > 0 })
	e := about()[0]
	if e.Regarding.Name != "api" || e.Regarding.UID != d.UID || e.Type != corev1.EventTypeWarning || !strings.Contains(e.Note, "V/mutable-tag") {
		t.Errorf("the Event: %+v", e)
	}

	d.Spec.Template.Spec.Containers[0].Image = "app:1.0.0"
	if err := admin.Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	until(t, "the metrics tell that it is mended", func() bool {
		return testutil.GatherAndCompare(registry, strings.NewReader(strings.Replace(want, `twelvefold_scan_findings{level="deny",namespace="`+ns+`",rule="mutable-tag"} 1`+"\n", "", 1)), "twelvefold_scan_findings") == nil
	})
	if told := about(); len(told) != 1 || told[0].Series != nil {
		t.Errorf("%d Events on a workload that was looked at several times", len(told))
	}
}

// runScanner runs the scan as the webhook does, with the chart's rights, until the test ends.
func runScanner(t *testing.T, ns string, registry prometheus.Registerer) {
	t.Helper()
	limited := scannerConfig(t, ns)
	direct, err := client.New(limited, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	lock, err := election.NewLock(limited, ns, scan.LeaseName)
	if err != nil {
		t.Fatal(err)
	}
	set, err := kubernetes.NewForConfig(limited)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: set.EventsV1()})
	if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
		t.Fatal(err)
	}
	inForce, err := policy.Parse([]byte("apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec: {profile: off, rules: {mutable-tag: {level: deny}, bare-pod: {level: warn}}}"), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	log := &syncBuffer{}
	scanner := &scan.Scanner{Interval: 100 * time.Millisecond, Client: direct, Recorder: broadcaster.NewRecorder(scheme.Scheme, "twelvefold"),
		Namespaces: func(context.Context) ([]string, error) { return []string{ns}, nil },
		Input: func(_ context.Context, o manifest.Object) review.Input {
			return review.Input{Object: o, Policy: inForce, Facts: policy.Facts{Namespace: ns, AgentImage: "agent:1", Kubernetes: policy.Kubernetes{APIServer: 37}}}
		},
		Metrics: scan.NewMetrics(registry), Log: slog.New(slog.NewTextHandler(log, nil)), Now: time.Now}
	elected := &election.Elected{Lock: lock, Run: scanner.Run, Log: scanner.Log}
	done := make(chan error, 1)
	go func() { done <- elected.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		broadcaster.Shutdown()
		if text := log.String(); t.Failed() || strings.Contains(text, "WARN") {
			t.Errorf("the scanner's log:\n%s", text)
		}
	})
}
