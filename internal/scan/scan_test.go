package scan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"twelvefold.dev/internal/inventory"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
)

// world is a cluster with its scanner: two rules are on, so that others may come.
type world struct {
	*Scanner
	registry   *prometheus.Registry
	namespaces []string
	events     []string
	asked      []string // lists, as namespace and kind
	broken     string   // a namespace that can't be read
	forbidden  string   // a kind that may not be listed
	policy     string
}

func (w *world) Eventf(regarding, _ runtime.Object, eventType, reason, _, text string, args ...any) {
	o := regarding.(client.Object)
	w.events = append(w.events, fmt.Sprintf("%s %s/%s %s: %s", eventType, o.GetObjectKind().GroupVersionKind().Kind, o.GetName(), reason, fmt.Sprintf(text, args...)))
}

const twoRules = "{profile: off, rules: {mutable-tag: {level: deny}, bare-pod: {level: warn}, host-network: {level: audit}}}"

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	w := &world{registry: prometheus.NewRegistry(), namespaces: []string{"shop"}, policy: twoRules}
	for i, o := range objects {
		o.SetUID(types.UID(fmt.Sprint(i)))
		if o.GetNamespace() == "" {
			o.SetNamespace("shop")
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			var o client.ListOptions
			o.ApplyOptions(opts)
			w.asked = append(w.asked, o.Namespace+" "+list.GetObjectKind().GroupVersionKind().Kind)
			if o.Limit != inventory.PageSize {
				t.Errorf("a list of %d at a time", o.Limit)
			}
			kind := strings.TrimSuffix(list.GetObjectKind().GroupVersionKind().Kind, "List")
			switch {
			case o.Namespace == w.broken:
				return errors.New("the API server is away")
			case kind == w.forbidden:
				return apierrors.NewForbidden(schema.GroupResource{Resource: kind}, "", errors.New("it may not"))
			}
			return c.List(ctx, list, opts...)
		},
	}).Build()
	w.Scanner = &Scanner{Interval: time.Hour, Client: c, Recorder: w, Metrics: NewMetrics(w.registry), Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Namespaces: func(context.Context) ([]string, error) { return w.namespaces, nil },
		Input: func(_ context.Context, o manifest.Object) review.Input {
			inForce, err := policy.Parse([]byte("apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec: "+w.policy), rules.Catalogue{})
			if err != nil {
				t.Error(err)
			}
			return review.Input{Object: o, Policy: inForce, Facts: policy.Facts{Namespace: o.Namespace, AgentImage: "agent:1", Kubernetes: policy.Kubernetes{APIServer: 37}}}
		}}
	return w
}

func (w *world) scan(t *testing.T) {
	t.Helper()
	if err := w.pass(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// metrics must be these lines of twelvefold_scan_findings.
func (w *world) metrics(t *testing.T, lines ...string) {
	t.Helper()
	text := ""
	if len(lines) > 0 {
		text = "# HELP twelvefold_scan_findings Findings in workloads that run, as of the last scan, by namespace, rule and level.\n" +
			"# TYPE twelvefold_scan_findings gauge\ntwelvefold_scan_findings" + strings.Join(lines, "\ntwelvefold_scan_findings") + "\n"
	}
	if err := testutil.GatherAndCompare(w.registry, strings.NewReader(text), "twelvefold_scan_findings"); err != nil {
		t.Error(err)
	}
}

func pod(image string) corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: image}}}
}

func deployment(name, image string) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: pod(image)}}}
}

func barePod(name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: pod("app:1")}
}

func job(name string) *batchv1.Job {
	return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: pod("app:latest")}}}
}

func TestKinds(t *testing.T) {
	template := corev1.PodTemplateSpec{Spec: pod("app:latest")}
	w := newWorld(t, deployment("d", "app:latest"),
		&appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: appsv1.StatefulSetSpec{Template: template}},
		&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "ds"}, Spec: appsv1.DaemonSetSpec{Template: template}},
		&batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Spec: batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}}}},
		job("j"), barePod("p"), &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "canary-1", OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: "canary", UID: "r", Controller: new(true)}}}, Spec: appsv1.ReplicaSetSpec{Template: template}})
	w.scan(t)
	var about []string
	for _, e := range w.events {
		about = append(about, strings.Fields(e)[1])
	}
	if diff := cmp.Diff([]string{"Deployment/d", "StatefulSet/s", "DaemonSet/ds", "CronJob/c", "Job/j", "Pod/p", "ReplicaSet/canary-1"}, about); diff != "" {
		t.Errorf("Events (-want +got):\n%s", diff)
	}
	w.metrics(t, `{level="deny",namespace="shop",rule="mutable-tag"} 6`, `{level="warn",namespace="shop",rule="bare-pod"} 1`)
	w.asked = nil
	w.scan(t)
	if want := len(inventory.Workloads) + len(inventory.Companions); len(w.asked) != want {
		t.Errorf("%d requests for one namespace; want %d: %q", len(w.asked), want, w.asked)
	}
}

func TestNotLookedAt(t *testing.T) {
	owned, ownedJob, deleted, done, failed, ended, elsewhere := barePod("owned"), job("owned"), barePod("deleted"), job("done"), job("failed"), barePod("ended"), barePod("elsewhere")
	owned.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "r", UID: "r", Controller: new(true)}}
	ownedJob.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: "c", UID: "c", Controller: new(true)}}
	deleted.DeletionTimestamp, deleted.Finalizers = &metav1.Time{Time: time.Now()}, []string{"example.com/wait"}
	done.Status.CompletionTime = &metav1.Time{Time: time.Now()}
	failed.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue}}
	ended.Status.Phase = corev1.PodSucceeded
	elsewhere.Namespace = "not-opted-in"
	w := newWorld(t, owned, ownedJob, deleted, done, failed, ended, elsewhere)
	w.scan(t)
	if len(w.events) > 0 {
		t.Errorf("Events %q", w.events)
	}
	w.metrics(t)
}

// Nobody asks for a pod that runs: its operator is taken for what made it, as by check --cluster, and an exemption by either
// name holds.
func TestPodsOfAnOperator(t *testing.T) {
	operators := func(name, image string) *corev1.Pod {
		p := barePod(name)
		p.Spec = pod(image)
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "core.strimzi.io/v1", Kind: "StrimziPodSet", Name: name, UID: "s", Controller: new(true)}}
		return p
	}
	w := newWorld(t, operators("kafka-0", "app:latest"), operators("zookeeper-0", "app:latest"), operators("bridge-0", "app:latest"))
	w.policy = `{profile: off, rules: {mutable-tag: {level: deny}, bare-pod: {level: deny}}, exemptions: [
		{rules: [mutable-tag], workload: "StrimziPodSet/kafka-*", reason: r, owner: o, expires: 2099-01-01},
		{rules: [mutable-tag], workload: "Pod/zookeeper-*", reason: r, owner: o, expires: 2099-01-01}]}`
	w.scan(t)
	w.metrics(t, `{level="deny",namespace="shop",rule="mutable-tag"} 1`)
}

func TestEvent(t *testing.T) {
	d := deployment("api", "app:latest")
	w := newWorld(t, d, barePod("p"))
	w.scan(t)
	want := []string{
		"Warning Deployment/api NotTwelveFactor: the policy denies it: 1 denied, 0 warned: V/mutable-tag (twelvefold explain RULE; twelvefold check --cluster -n shop shows fields and fixes)",
		"Normal Pod/p NotTwelveFactor: 1 warned: VIII/bare-pod (twelvefold explain RULE; twelvefold check --cluster -n shop shows fields and fixes)",
	}
	if diff := cmp.Diff(want, w.events); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is audited makes no Event; a rule that finds much is named once, and the text fits.
func TestNote(t *testing.T) {
	var findings []policy.Finding
	for i := range 40 {
		findings = append(findings, policy.Finding{Rule: fmt.Sprintf("%s-%d", strings.Repeat("r", 60), i/2), Factor: "VIII", Level: policy.Warn})
	}
	text := note("shop", findings)
	if len(text) > 1024 || !strings.Contains(text, "40 warned: ") || !strings.Contains(text, " and 12 more ") || strings.Count(text, "-3") != 1 {
		t.Errorf("%d characters: %s", len(text), text)
	}
	w := newWorld(t, deployment("agent", "app:1"))
	w.policy = "{profile: off, rules: {mutable-tag: {level: audit}}}"
	d := deployment("audited", "app:latest")
	d.Namespace = "shop"
	if err := w.Client.Create(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	w.scan(t)
	if len(w.events) > 0 {
		t.Errorf("Events %q", w.events)
	}
	w.metrics(t, `{level="audit",namespace="shop",rule="mutable-tag"} 1`)
}

func TestOneEventADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deployment("api", "app:latest")
		w := newWorld(t, d)
		after := func(pause time.Duration, want int) {
			t.Helper()
			time.Sleep(pause)
			w.scan(t)
			if len(w.events) != want {
				t.Errorf("%d Events; want %d: %q", len(w.events), want, w.events)
			}
		}
		after(0, 1)
		after(time.Hour, 1)
		after(22*time.Hour, 1)
		after(2*time.Hour, 2) // the day is over
		w.broken = "shop"     // and what is known of it stays
		after(time.Hour, 2)
		w.broken = ""
		after(time.Hour, 2)
		if err := w.Client.Get(t.Context(), client.ObjectKeyFromObject(d), d); err != nil {
			t.Fatal(err)
		}
		d.Spec.Template.Spec.InitContainers = []corev1.Container{{Name: "more", Image: "more:latest"}}
		if err := w.Client.Update(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		after(time.Hour, 3) // its findings have changed
	})
}

// What was told of workloads that are no more is forgotten, though another namespace can't be read for days.
func TestToldIsForgotten(t *testing.T) {
	gone, other := deployment("gone", "app:latest"), deployment("other", "app:latest")
	other.Namespace = "other"
	w := newWorld(t, gone, other)
	w.namespaces = []string{"shop", "other"}
	w.scan(t)
	w.broken = "other"
	if err := w.Client.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	w.scan(t)
	if len(w.told) != 1 || w.told[other.UID].namespace != "other" {
		t.Errorf("it remembers %v", w.told)
	}
}

func TestEventsOfAPassAreBounded(t *testing.T) {
	var objects []client.Object
	for i := range maxEvents + 50 {
		objects = append(objects, barePod(fmt.Sprintf("p%03d", i)))
	}
	w := newWorld(t, objects...)
	w.scan(t)
	if len(w.events) != maxEvents {
		t.Errorf("%d Events in the first pass; want %d", len(w.events), maxEvents)
	}
	w.scan(t)
	if len(w.events) != len(objects) || len(slices.Compact(slices.Sorted(slices.Values(w.events)))) != len(objects) {
		t.Errorf("%d Events on %d workloads", len(w.events), len(objects))
	}
}

func TestMetricsFollowTheCluster(t *testing.T) {
	d, other := deployment("api", "app:latest"), deployment("other", "app:latest")
	other.Namespace = "other"
	w := newWorld(t, d, other)
	w.namespaces = []string{"shop", "other"}
	w.scan(t)
	w.metrics(t, `{level="deny",namespace="other",rule="mutable-tag"} 1`, `{level="deny",namespace="shop",rule="mutable-tag"} 1`)
	w.broken = "other"
	if err := w.Client.Delete(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	w.scan(t) // of other nothing new is known
	w.metrics(t, `{level="deny",namespace="other",rule="mutable-tag"} 1`)
	w.namespaces = nil // it is opted out
	w.scan(t)
	w.metrics(t)
}

func TestSeriesAreBounded(t *testing.T) {
	w := newWorld(t)
	p := pass{counts: map[string]counts{}}
	for i := range maxSeries + 1 {
		p.counts[fmt.Sprint("ns", i)] = counts{1, map[finding]int{{"mutable-tag", "deny"}: 2}}
	}
	w.Metrics.publish(p, time.Now())
	w.metrics(t, fmt.Sprintf(`{level="deny",namespace="",rule="mutable-tag"} %d`, 2*(maxSeries+1)))
}

// The replica that leads no longer shows no numbers: another does.
func TestNoMetricsWithoutLeading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, deployment("api", "app:latest"))
		var passes atomic.Int32
		w.Namespaces = func(context.Context) ([]string, error) {
			passes.Add(1)
			return []string{"shop"}, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { w.Run(ctx); close(done) }()
		synctest.Wait()
		w.metrics(t, `{level="deny",namespace="shop",rule="mutable-tag"} 1`)
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if n := passes.Load(); n < 3 || n > 4 {
			t.Errorf("%d passes in three hours", n)
		}
		cancel()
		<-done
		w.metrics(t)
	})
}

// What stands beside a workload counts. Of a kind that may not be listed nobody knows what is there.
func TestObjectsBeside(t *testing.T) {
	d := deployment("api", "app:1")
	d.Spec.Template.Labels = map[string]string{"app": "api"}
	w := newWorld(t, d, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "api"}, Spec: corev1.ServiceSpec{Selector: d.Spec.Template.Labels, Ports: []corev1.ServicePort{{Port: 80}}}})
	w.policy = "{profile: off, rules: {single-replica: {level: warn}}}"
	w.scan(t)
	w.metrics(t, `{level="warn",namespace="shop",rule="single-replica"} 1`)
	for _, w.forbidden = range []string{"HorizontalPodAutoscaler", "ScaledObject", "Service"} {
		w.scan(t)
		w.metrics(t)
	}
	w.forbidden = ""
	scaler := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api"}}
	scaler.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "api"}
	if err := w.Client.Create(t.Context(), scaler); err != nil {
		t.Fatal(err)
	}
	w.scan(t)
	w.metrics(t)
}

// twins are environments of one app that run different images.
func twins(t *testing.T) (w *world, staging *appsv1.Deployment) {
	t.Helper()
	staging = deployment("api", "app:1")
	production := deployment("api", "other:1")
	staging.Namespace, production.Namespace = "staging", "production"
	w = newWorld(t, staging, production)
	w.policy = "{profile: off, rules: {parity-drift: {level: audit}}}"
	w.namespaces = []string{"production", "staging"}
	return w, staging
}

// Environments are compared from the first pass on, and with what is known of one that can't be read just now.
func TestEnvironments(t *testing.T) {
	w, _ := twins(t)
	both := []string{`{level="audit",namespace="production",rule="parity-drift"} 1`, `{level="audit",namespace="staging",rule="parity-drift"} 1`}
	w.scan(t)
	w.metrics(t, both...)
	w.asked, w.broken = nil, "production"
	w.scan(t)
	w.metrics(t, both...)
	if want := 1 + len(inventory.Workloads) + len(inventory.Companions); len(w.asked) != want {
		t.Errorf("%d requests; want %d: %q", len(w.asked), want, w.asked)
	}
	w.namespaces = []string{"staging"} // the other one is opted out, and known no more
	w.scan(t)
	w.metrics(t)
}

// A replica that leads again knows nothing of what another one has seen in the meantime.
func TestLeaderAgain(t *testing.T) {
	w, staging := twins(t)
	w.scan(t)
	staging.Spec.Template.Spec.Containers[0].Image = "other:1"
	staging.ResourceVersion = ""
	if err := w.Client.Update(t.Context(), staging); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		w.Interval, w.Now = time.Hour, time.Now
		go func() { w.Run(ctx); close(done) }()
		synctest.Wait()
		w.metrics(t)
		cancel()
		<-done
	})
}

// Registries are asked by one lookup for each pass, and not at all unless somebody wants it.
func TestLabelsOfImages(t *testing.T) {
	w := newWorld(t, deployment("labelled", "labelled:1"), deployment("other", "other:1"))
	w.policy = "{profile: off, rules: {source-provenance: {level: audit}}}"
	w.scan(t)
	w.metrics(t, `{level="audit",namespace="shop",rule="source-provenance"} 2`)
	passes := 0
	w.Labels = func(context.Context) func(string) (map[string]string, error) {
		passes++
		return func(image string) (map[string]string, error) {
			if image != "labelled:1" {
				return nil, errors.New("the registry refuses to answer")
			}
			return map[string]string{"org.opencontainers.image.source": "https://github.com/contoso/shop", "org.opencontainers.image.revision": "5d1ac0f"}, nil
		}
	}
	w.scan(t)
	w.metrics(t, `{level="audit",namespace="shop",rule="source-provenance"} 1`)
	if passes != 1 {
		t.Errorf("%d lookups in one pass", passes)
	}
}
