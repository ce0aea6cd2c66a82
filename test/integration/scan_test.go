package integration

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/inventory"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/scan"
)

// allowScan gives a service account the rights that the chart gives for the scan, but for some resources, and an empty Lease.
func allowScan(t *testing.T, ns, account string, without ...string) {
	t.Helper()
	rights := []rbacv1.PolicyRule{
		{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
		{APIGroups: []string{"openreports.io"}, Resources: []string{"reports"}, Verbs: []string{"list", "create", "update", "delete"}},
	}
	for _, kind := range slices.Concat(inventory.Workloads, inventory.Companions) { // a test of the chart compares them
		if !slices.Contains(without, kind.Resource) {
			rights = append(rights, rbacv1.PolicyRule{APIGroups: []string{kind.Group}, Resources: []string{kind.Resource}, Verbs: []string{"list"}})
		}
	}
	allow(t, ns, account, scan.LeaseName, rights)
}

// older is a Deployment from before its namespace was opted in, which no webhook has seen.
func older(t *testing.T) *appsv1.Deployment {
	t.Helper()
	d := app(namespace(t, nil), "api", "app:latest")
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

const twoRules = "{profile: off, rules: {mutable-tag: {level: deny}, bare-pod: {level: warn}}}"

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
	runScanner(t, registry, scanning{namespaces: []string{ns}, policy: twoRules})
	tell := func(lines ...string) func() bool {
		return func() bool {
			return testutil.GatherAndCompare(registry, strings.NewReader(found(lines...)), "twelvefold_scan_findings") == nil
		}
	}
	denied, bare := `{level="deny",namespace="`+ns+`",rule="mutable-tag"} 1`, `{level="warn",namespace="`+ns+`",rule="bare-pod"} 201`
	until(t, "the metrics tell of it", tell(denied, bare))
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
	until(t, "the metrics tell that it is mended", tell(bare))
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
	runScanner(t, prometheus.NewRegistry(), scanning{namespaces: []string{ns}, policy: twoRules, reports: true})

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

// scanning is what a scanner does.
type scanning struct {
	namespaces []string
	policy     string // spec
	reports    bool
	without    string // a resource that it may not list
}

// runScanner runs the scan as the webhook does, with the chart's rights, until the test ends.
func runScanner(t *testing.T, registry prometheus.Registerer, s scanning) {
	t.Helper()
	ns := namespace(t, nil)
	allowScan(t, ns, "scanner", s.without)
	inForce, err := policy.Parse([]byte("apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec: "+s.policy), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	atEnd := func(log string) {
		if s.without == "" && strings.Contains(log, "WARN") || s.without != "" && !strings.Contains(log, "may not list "+s.without) {
			t.Errorf("the scanner's log:\n%s", log)
		}
	}
	elect(t, as(ns, "scanner"), ns, scan.LeaseName, atEnd, func(direct client.Client, recorder events.EventRecorder, log *slog.Logger) func(context.Context) {
		scanner := &scan.Scanner{Interval: 100 * time.Millisecond, Client: direct, Recorder: recorder,
			Namespaces: func(context.Context) ([]string, error) { return s.namespaces, nil },
			Input: func(_ context.Context, o manifest.Object) review.Input {
				return review.Input{Object: o, Policy: inForce, Facts: policy.Facts{Namespace: o.Namespace, AgentImage: "agent:1", Kubernetes: policy.Kubernetes{APIServer: 37}}}
			},
			Metrics: scan.NewMetrics(registry), Log: log, Now: time.Now}
		if s.reports {
			scanner.Reports = &scan.Reports{Client: direct, Now: time.Now}
		}
		return scanner.Run
	})
}

// TestScanBeside finds what only shows beside other objects, and says nothing where it may not read them.
func TestScanBeside(t *testing.T) {
	shop := unique("shop")
	staging, production := shop+"-staging", shop+"-production"
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: staging}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: production}})
	const api, next = "contoso.azurecr.io/api:1.4.2", "contoso.azurecr.io/api-next:1.5.0"
	files := app(production, "files", "contoso.azurecr.io/files:1")
	files.Spec.Replicas = new(int32(2))
	files.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
	files.Spec.Template.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: production, Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: production, Name: "api"}, Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app.kubernetes.io/name": "api"}, SessionAffinity: corev1.ServiceAffinityClientIP,
		Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromString("http")}}}}
	reindex := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: production, Name: "reindex"}, Spec: batchv1.CronJobSpec{Schedule: "@daily"}}
	reindex.Spec.JobTemplate.Spec.Template = app(production, "api", "contoso.azurecr.io/api:1.3.9").Spec.Template
	reindex.Spec.JobTemplate.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	create(t, app(staging, "api", next), app(production, "api", api), files, claim, service, reindex)

	const sixRules = "{profile: off, rules: {replicated-pvc: {level: warn}, single-replica: {level: warn}, sticky-session: {level: warn}, " +
		"admin-image-mismatch: {level: warn}, parity-drift: {level: audit}, port-undeclared: {level: warn}}}"
	for _, without := range []string{"", "horizontalpodautoscalers"} {
		t.Run("without "+without, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			runScanner(t, registry, scanning{namespaces: []string{staging, production}, policy: sixRules, without: without})
			want := []string{`{level="audit",namespace="` + staging + `",rule="parity-drift"} 1`, `{level="audit",namespace="` + production + `",rule="parity-drift"} 1`}
			for _, rule := range []string{"admin-image-mismatch", "port-undeclared", "replicated-pvc", "single-replica", "sticky-session"} {
				if rule != "single-replica" || without == "" {
					want = append(want, `{level="warn",namespace="`+production+`",rule="`+rule+`"} 1`)
				}
			}
			until(t, "a scan has ended", func() bool {
				n, err := testutil.GatherAndCount(registry, "twelvefold_scan_timestamp_seconds")
				return err == nil && n > 0
			})
			if err := testutil.GatherAndCompare(registry, strings.NewReader(found(want...)), "twelvefold_scan_findings"); err != nil {
				t.Error(err)
			}
		})
	}
}

// found are the metrics of findings, as they are scraped.
func found(lines ...string) string {
	return "# HELP twelvefold_scan_findings Findings in workloads that run, as of the last scan, by namespace, rule and level.\n" +
		"# TYPE twelvefold_scan_findings gauge\ntwelvefold_scan_findings" + strings.Join(lines, "\ntwelvefold_scan_findings") + "\n"
}

// app is a Deployment of one container that declares no port.
func app(ns, name, image string) *appsv1.Deployment {
	labels := map[string]string{"app.kubernetes.io/name": name}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: image}}}}}}
}
