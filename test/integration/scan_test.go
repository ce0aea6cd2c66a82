package integration

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
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

// allowScan gives a service account the rights that the chart gives for the scan, and an empty Lease.
func allowScan(t *testing.T, ns, account string) {
	t.Helper()
	name := unique("scanner")
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"apps"}, Resources: []string{"deployments", "statefulsets", "daemonsets"}, Verbs: []string{"list"}},
		{APIGroups: []string{"batch"}, Resources: []string{"cronjobs", "jobs"}, Verbs: []string{"list"}},
		{APIGroups: []string{""}, Resources: []string{"pods", "services", "persistentvolumeclaims"}, Verbs: []string{"list"}},
		{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"ingresses"}, Verbs: []string{"list"}},
		{APIGroups: []string{"autoscaling"}, Resources: []string{"horizontalpodautoscalers"}, Verbs: []string{"list"}},
		{APIGroups: []string{"keda.sh"}, Resources: []string{"scaledobjects"}, Verbs: []string{"list"}},
		{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
		{APIGroups: []string{"openreports.io"}, Resources: []string{"reports"}, Verbs: []string{"list", "create", "update", "delete"}},
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, ResourceNames: []string{scan.LeaseName}, Verbs: []string{"get", "update"}},
	}}
	create(t, role, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: account, Namespace: ns}}},
		&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: scan.LeaseName}})
}

// older is a Deployment from before its namespace was opted in, which no webhook has seen.
func older(t *testing.T) *appsv1.Deployment {
	t.Helper()
	ns := namespace(t, nil)
	labels := map[string]string{"app.kubernetes.io/name": "app"}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "api"}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app:latest"}}}}}}
	create(t, d)
	return d
}

// optIn opts in a namespace that is there.
func optIn(t *testing.T, name string) {
	t.Helper()
	var ns corev1.Namespace
	if err := admin.Get(t.Context(), client.ObjectKey{Name: name}, &ns); err != nil {
		t.Fatal(err)
	}
	ns.Labels["twelvefold.dev/admission"] = "enabled" // the API server has set another label
	if err := admin.Update(t.Context(), &ns); err != nil {
		t.Fatal(err)
	}
}

// scanned has the webhook's own process tell of a workload from before.
func scanned(t *testing.T, p *process, d *appsv1.Deployment) {
	until(t, "the metrics tell of it", func() bool {
		return strings.Contains(p.get(t, "http://"+p.scrape+"/metrics"), `twelvefold_scan_findings{level="deny",namespace="`+d.Namespace+`",rule="mutable-tag"} 1`)
	})
}

// TestScan finds a workload that no webhook has seen, page by page, and tells of it once.
func TestScan(t *testing.T) {
	d := older(t)
	ns := d.Namespace
	const pods = 201 // one more than a page
	for range pods {
		p := pod(ns, "app:1")
		p.Spec.ServiceAccountName = ""
		create(t, p)
	}
	registry := prometheus.NewRegistry()
	runScanner(t, ns, registry, false)

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

// TestScanReports keeps a Report for as long as there is something to report, and touches no other.
func TestScanReports(t *testing.T) {
	installCRDs(t, "testdata/reports")
	d := older(t)
	ns := d.Namespace
	foreign, stale := report(ns, "foreign"), report(namespace(t, nil), "twelvefold-deployment-gone") // whose namespace is not opted in any more
	stale.SetLabels(map[string]string{"app.kubernetes.io/managed-by": "twelvefold"})
	create(t, foreign, stale)
	registry := prometheus.NewRegistry()
	runScanner(t, ns, registry, true)

	got := report(ns, "twelvefold-deployment-api")
	there := func(o *unstructured.Unstructured) bool {
		err := admin.Get(t.Context(), client.ObjectKeyFromObject(o), o)
		if client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		return err == nil
	}
	until(t, "the Deployment has a Report", func() bool { return there(got) })
	if owners := got.GetOwnerReferences(); len(owners) != 1 || owners[0].UID != d.UID || owners[0].Kind != "Deployment" {
		t.Errorf("its owners are %v", owners)
	}
	results, _, _ := unstructured.NestedSlice(got.Object, "results")
	if len(results) != 1 {
		t.Fatalf("its results are %v", results)
	}
	result := results[0].(map[string]any)
	if seconds, _, _ := unstructured.NestedInt64(result, "timestamp", "seconds"); time.Since(time.Unix(seconds, 0)).Abs() > time.Hour {
		t.Errorf("the timestamp is %d", seconds)
	}
	delete(result, "timestamp")
	want := map[string]any{"source": "twelvefold", "policy": "mutable-tag", "category": "V Build, release, run", "result": "fail", "severity": "high", "scored": true,
		"message":    `the tag of "app:latest" moves`,
		"properties": map[string]any{"level": "deny", "path": `spec.template.spec.containers[name="app"].image`, "fix": "name a version: image: app:<version>"}}
	if diff := cmp.Diff(want, result); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	until(t, "the Report of a namespace that is not opted in is deleted", func() bool { return !there(stale) })

	version := got.GetResourceVersion()
	d.Spec.Template.Spec.InitContainers = []corev1.Container{{Name: "more", Image: "more"}}
	if err := admin.Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	until(t, "the Report follows", func() bool { return there(got) && got.GetResourceVersion() != version })
	if fail, _, _ := unstructured.NestedInt64(got.Object, "summary", "fail"); fail != 2 || got.GetGeneration() != 2 {
		t.Errorf("generation %d counts %d failures", got.GetGeneration(), fail)
	}
	d.Spec.Template.Spec.InitContainers[0].Image, d.Spec.Template.Spec.Containers[0].Image = "more:1", "app:1"
	if err := admin.Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	until(t, "the Report of a mended Deployment is deleted", func() bool { return !there(got) })
	if !there(foreign) {
		t.Error("the Report of somebody else is deleted")
	}
}

func report(ns, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"source": "somebody"}}
	o.SetGroupVersionKind(schema.GroupVersionKind{Group: "openreports.io", Version: "v1alpha1", Kind: "Report"})
	o.SetNamespace(ns)
	o.SetName(name)
	return o
}

// runScanner runs the scan as the webhook does, with the chart's rights, until the test ends.
func runScanner(t *testing.T, ns string, registry prometheus.Registerer, reports bool) {
	t.Helper()
	allowScan(t, ns, "scanner")
	limited := rest.CopyConfig(config)
	limited.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + ns + ":scanner"}
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
	if reports {
		scanner.Reports = &scan.Reports{Client: direct, Now: time.Now}
	}
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
