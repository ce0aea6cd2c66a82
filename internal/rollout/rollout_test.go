package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
)

var (
	yesterday = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	changedAt = yesterday.Add(24 * time.Hour)
	tomorrow  = changedAt.Add(24 * time.Hour)
)

// versions are what Key Vault would say of objects, by name. Of others it says nothing.
type versions struct {
	mu    sync.Mutex
	known map[string]time.Time
	asked map[string]int
}

func (v *versions) NewestChange(_ context.Context, o keyvault.Object) (time.Time, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked[o.Name]++
	if at, ok := v.known[o.Name]; ok {
		return at, nil
	}
	return time.Time{}, errors.New(o.String() + ": the vault does not answer")
}

// world is a cluster with its controller.
type world struct {
	*Controller
	versions *versions
	patched  []time.Time
	events   []string
}

func (w *world) Eventf(regarding, _ runtime.Object, _, reason, _, note string, args ...any) {
	o := regarding.(client.Object)
	w.events = append(w.events, o.GetObjectKind().GroupVersionKind().Kind+"/"+o.GetName()+" "+reason+": "+fmt.Sprintf(note, args...))
}

func newWorld(t *testing.T, spec string, objects ...client.Object) *world {
	t.Helper()
	inForce, err := policy.Parse([]byte("apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec: "+spec), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{versions: &versions{known: map[string]time.Time{"db": changedAt, "old": yesterday.Add(-time.Hour)}, asked: map[string]int{}}}
	for i, o := range objects {
		o.SetUID(types.UID(fmt.Sprint(i)))
	}
	c := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		// The fake server knows no selectors with !=; the test against the real one does.
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			var known []client.ListOption
			for _, o := range opts {
				if _, byField := o.(client.MatchingFieldsSelector); !byField {
					known = append(known, o)
				}
			}
			return c.List(ctx, list, known...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			w.patched = append(w.patched, time.Now())
			return c.Patch(ctx, o, patch, opts...)
		},
	}).Build()
	identity := map[string]string{"azure.workload.identity/client-id": "22222222-2222-4222-8222-222222222222", "azure.workload.identity/tenant-id": "t"}
	w.Controller = &Controller{
		Client: c, Policy: func() *policy.Policy { return inForce }, Versions: w.versions, Recorder: w, Log: slog.New(slog.DiscardHandler),
		Metrics: NewMetrics(prometheus.NewRegistry()), Namespaces: func(context.Context) ([]string, error) { return []string{"shop"}, nil },
		Input: func(_ context.Context, o manifest.Object) review.Input {
			return review.Input{Object: o, Policy: inForce, Facts: policy.Facts{Namespace: o.Namespace, AgentImage: "agent:1", Kubernetes: policy.Kubernetes{APIServer: 37}},
				ServiceAccount: func(name string) (map[string]string, error) {
					if name == "stranger" {
						return nil, nil
					}
					return identity, nil
				}}
		},
	}
	return w
}

// annotation is what the object's template tells.
func (w *world) annotation(t *testing.T, o client.Object) string {
	t.Helper()
	if err := w.Client.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		t.Fatal(err)
	}
	switch o := o.(type) {
	case *appsv1.Deployment:
		return o.Spec.Template.Annotations[ChangedAnnotation]
	case *appsv1.StatefulSet:
		return o.Spec.Template.Annotations[ChangedAnnotation]
	case *appsv1.DaemonSet:
		return o.Spec.Template.Annotations[ChangedAnnotation]
	}
	return ""
}

func labelsOf(name string) map[string]string { return map[string]string{"app": name} }

func template(name string, secrets ...string) corev1.PodTemplateSpec {
	c := corev1.Container{Name: "app", Image: "app:1.0.0"}
	for i, s := range secrets {
		c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("S%d", i), Value: "@Microsoft.KeyVault(VaultName=shop;SecretName=" + s + ")"})
	}
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labelsOf(name), Annotations: map[string]string{"twelvefold.dev/rotation": "rollout"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{c}}}
}

func object(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "shop", Name: name, Generation: 3}
}

// deployment is one that is at rest.
func deployment(name string, secrets ...string) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: object(name),
		Spec:   appsv1.DeploymentSpec{Replicas: new(int32(2)), Selector: &metav1.LabelSelector{MatchLabels: labelsOf(name)}, Template: template(name, secrets...)},
		Status: appsv1.DeploymentStatus{ObservedGeneration: 3, Replicas: 2, UpdatedReplicas: 2}}
}

func statefulSet() *appsv1.StatefulSet {
	return &appsv1.StatefulSet{ObjectMeta: object("a"), Spec: appsv1.StatefulSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labelsOf("a")}, Template: template("a", "db")},
		Status: appsv1.StatefulSetStatus{ObservedGeneration: 3, CurrentRevision: "x", UpdateRevision: "x"}}
}

func daemonSet() *appsv1.DaemonSet {
	return &appsv1.DaemonSet{ObjectMeta: object("a"), Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labelsOf("a")}, Template: template("a", "db")},
		Status: appsv1.DaemonSetStatus{ObservedGeneration: 3, DesiredNumberScheduled: 2, UpdatedNumberScheduled: 2}}
}

func pod(workload string, made time.Time) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: workload + made.Format("-20060102"), Labels: labelsOf(workload),
		CreationTimestamp: metav1.NewTime(made), Annotations: map[string]string{"twelvefold.dev/status": "{}"}}}
}

// with changes an object.
func with[T any](o T, change func(T)) T {
	change(o)
	return o
}

func TestWhatIsRolledOut(t *testing.T) {
	type d = *appsv1.Deployment
	annotated := func(key, value string) func(d) { return func(o d) { o.Spec.Template.Annotations[key] = value } }
	silent := func(o d) { delete(o.Spec.Template.Annotations, "twelvefold.dev/rotation") }
	for name, test := range map[string]struct {
		workload client.Object
		pods     []client.Object // one of yesterday if there are none
		policy   string
		want     bool
	}{
		"a Deployment":               {workload: deployment("a", "db"), want: true},
		"a StatefulSet":              {workload: statefulSet(), want: true},
		"a DaemonSet":                {workload: daemonSet(), want: true},
		"the policy asks":            {workload: with(deployment("a", "db"), silent), policy: "{keyVault: {rotation: rollout}}", want: true},
		"nobody asks":                {workload: with(deployment("a", "db"), silent)},
		"it wants none":              {workload: with(deployment("a", "db"), annotated("twelvefold.dev/rotation", "none")), policy: "{keyVault: {rotation: rollout}}"},
		"nothing has changed":        {workload: deployment("a", "old")},
		"one of two has changed":     {workload: deployment("a", "old", "db"), want: true},
		"one of two is not known":    {workload: deployment("a", "db", "silent")},
		"what may be missing is not": {workload: deployment("a", "db", "silent;Optional=true"), want: true},
		"pinned":                     {workload: deployment("a", "db;SecretVersion=0123456789abcdef0123456789abcdef")},
		"all pods are newer":         {workload: deployment("a", "db"), pods: []client.Object{pod("a", tomorrow)}},
		"one pod is older":           {workload: deployment("a", "db"), pods: []client.Object{pod("a", tomorrow), pod("a", yesterday)}, want: true},
		"no pods":                    {workload: deployment("a", "db"), pods: []client.Object{pod("b", yesterday)}},
		"pods without secrets":       {workload: deployment("a", "db"), pods: []client.Object{with(pod("a", yesterday), func(p *corev1.Pod) { p.Annotations = nil })}},
		"told already":               {workload: with(deployment("a", "db"), annotated(ChangedAnnotation, changedAt.Format(time.RFC3339)))},
		"an earlier change was told": {workload: with(deployment("a", "db"), annotated(ChangedAnnotation, yesterday.Format(time.RFC3339))), want: true},
		"told in no format of ours":  {workload: with(deployment("a", "db"), annotated(ChangedAnnotation, "today")), want: true},
		"paused":                     {workload: with(deployment("a", "db"), func(o d) { o.Spec.Paused = true })},
		"not seen by its controller": {workload: with(deployment("a", "db"), func(o d) { o.Status.ObservedGeneration = 2 })},
		"old pods are left":          {workload: with(deployment("a", "db"), func(o d) { o.Status.Replicas = 3 })},
		"new pods are to come":       {workload: with(deployment("a", "db"), func(o d) { o.Status.UpdatedReplicas = 1 })},
		"pods fail":                  {workload: with(deployment("a", "db"), func(o d) { o.Status.UnavailableReplicas = 2 }), want: true},
		"a rolling StatefulSet":      {workload: with(statefulSet(), func(o *appsv1.StatefulSet) { o.Status.UpdateRevision = "y" })},
		"a StatefulSet with a partition": {workload: with(statefulSet(), func(o *appsv1.StatefulSet) {
			o.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: new(int32(1))}
		})},
		"a StatefulSet by hand":     {workload: with(statefulSet(), func(o *appsv1.StatefulSet) { o.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType })},
		"a rolling DaemonSet":       {workload: with(daemonSet(), func(o *appsv1.DaemonSet) { o.Status.UpdatedNumberScheduled = 1 })},
		"a DaemonSet by hand":       {workload: with(daemonSet(), func(o *appsv1.DaemonSet) { o.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType })},
		"its pods would be refused": {workload: with(deployment("a", "db"), func(o d) { o.Spec.Template.Spec.ServiceAccountName = "stranger" })},
		"another namespace":         {workload: with(deployment("a", "db"), func(o d) { o.Namespace = "other" })},
		"no secrets":                {workload: deployment("a")},
	} {
		t.Run(name, func(t *testing.T) {
			if test.pods == nil {
				test.pods = []client.Object{pod("a", yesterday)}
			}
			before := ""
			if o, ok := test.workload.(d); ok {
				before = o.Spec.Template.Annotations[ChangedAnnotation]
			}
			w := newWorld(t, cmp.Or(test.policy, "{}"), append(test.pods, test.workload)...)
			for range 2 { // the second look changes nothing
				if err := w.look(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			want, patches := before, 0
			if test.want {
				want, patches = changedAt.Format(time.RFC3339), 1
			}
			if got := w.annotation(t, test.workload); got != want || len(w.patched) != patches || len(w.events) != patches {
				t.Errorf("the template tells %q, want %q, after %d patches; events %q", got, want, len(w.patched), w.events)
			}
			if strings.Contains(name, "pinned") && len(w.versions.asked) > 0 {
				t.Errorf("asked for %v", w.versions.asked)
			}
		})
	}
}

func TestTheEventNamesWhatHasChanged(t *testing.T) {
	w := newWorld(t, "{}", deployment("a", "old", "db", "db"), pod("a", yesterday))
	if err := w.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"Deployment/a SecretsChanged: rolled out, since this has changed: secret db in vault shop.vault.azure.net"}
	if diff := gocmp.Diff(want, w.events); diff != "" {
		t.Error(diff)
	}
}

// Somebody who takes the annotation back, such as an operator that owns the Deployment, is not fought.
func TestAChangeIsRolledOutOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the second rollout waits for its turn
		d := deployment("a", "db")
		w := newWorld(t, "{}", d, pod("a", yesterday))
		look := func() {
			if err := w.look(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			look()
			w.annotation(t, d)
			delete(d.Spec.Template.Annotations, ChangedAnnotation)
			if err := w.Client.Update(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		if len(w.patched) != 1 {
			t.Errorf("%d patches", len(w.patched))
		}
		w.versions.known["db"] = tomorrow
		if look(); len(w.patched) != 2 {
			t.Errorf("%d patches after another change", len(w.patched))
		}
	})
}

func TestManyAreRolledOutOneAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var objects []client.Object
		for i := range 30 {
			name := fmt.Sprintf("w%d", i)
			objects = append(objects, deployment(name, "db"), pod(name, yesterday))
		}
		w := newWorld(t, "{keyVault: {rotationInterval: 5m}}", objects...)
		ctx, cancel := context.WithCancel(t.Context())
		go w.Run(ctx)
		time.Sleep(3*time.Minute + 36*time.Second) // 30 at 6 s and a fifth more at most
		cancel()
		synctest.Wait()
		if len(w.patched) != 30 {
			t.Errorf("%d of 30 are rolled out", len(w.patched))
		}
		for i := 10; i < len(w.patched); i++ {
			if d := w.patched[i].Sub(w.patched[i-10]); d < time.Minute {
				t.Errorf("11 rollouts within %v", d)
			}
		}
		if w.versions.asked["db"] != 1 {
			t.Errorf("%d questions for one secret", w.versions.asked["db"])
		}
	})
}
