package mutate_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"twelvefold.dev/internal/metricsmerge"
	"twelvefold.dev/internal/mutate"
	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review/reviewtest"
)

var consumers = []string{"prometheus", "azure", "container-insights", "datadog", "grafana", "opentelemetry"}

// consuming is a policy that names consumers.
func consuming(t testing.TB, names ...string) *policy.Effective {
	t.Helper()
	p, err := policy.Parse(fmt.Appendf(nil, "apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec: {metrics: {consumers: [%s]}}\n", strings.Join(names, ", ")), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	return p.For("shop", nil)
}

// call runs the mutators on a pod.
func call(t testing.TB, pod corev1.Pod, effective *policy.Effective) *podpatch.Builder {
	t.Helper()
	raw, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	edit, err := podpatch.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	mutate.Run(edit, effective, reviewtest.Facts)
	return edit
}

// The revision of istio may be the namespace's; the pod's own goes before it.
func TestIstioRevisionOfTheNamespace(t *testing.T) {
	for _, c := range []struct {
		namespace, pod string
		merges         bool
	}{{"asm-1-31", "", true}, {"1-32-1", "", true}, {"asm-1-30", "", false}, {"default", "", false}, {"11-31", "", false}, {"asm-1-31", "asm-1-30", false}, {"asm-1-29", "asm-1-31", true}} {
		pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Annotations: map[string]string{"twelvefold.dev/metrics": "8081,8082"}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "api", Image: "registry.example.com/api:1.4.2"}}}}
		if c.pod != "" {
			pod.Labels = map[string]string{"istio.io/rev": c.pod}
		}
		raw, err := json.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		edit, err := podpatch.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		facts := reviewtest.Facts
		facts.NamespaceLabels = map[string]string{"istio.io/rev": c.namespace}
		mutate.Run(edit, consuming(t, "prometheus"), facts)
		if got := edit.Pod().Annotations["prometheus.istio.io/scrape-targets"] == "8081:/metrics,8082:/metrics"; got != c.merges || got == (len(edit.Pod().Spec.InitContainers) > 0) {
			t.Errorf("namespace %q, pod %q: istio merges is %v; annotations %v", c.namespace, c.pod, got, edit.Pod().Annotations)
		}
	}
}

// metricsPods are the bare pods of all fixtures of metrics.
func metricsPods(t *testing.T) map[string]corev1.Pod {
	t.Helper()
	pods := map[string]corev1.Pod{}
	for _, file := range reviewtest.Files(t, filepath.Join("testdata", "metrics", "*", "in.yaml")) {
		for i, in := range reviewtest.Load(t, file) {
			var pod corev1.Pod
			if err := json.Unmarshal(in.Object.JSON, &pod); err == nil && in.Object.Kind == "Pod" {
				pods[fmt.Sprintf("%s/%d", filepath.Base(filepath.Dir(file)), i)] = pod
			}
		}
	}
	if len(pods) < 50 {
		t.Fatalf("only %d pods were found", len(pods))
	}
	return pods
}

// Whoever the consumers are: a second call changes nothing, a merge has a plan that the agent reads, and the pod's own
// annotations are as they were, but for those that we wrote in an earlier call.
func TestEveryFixtureForEveryConsumer(t *testing.T) {
	sets := [][]string{consumers, {"azure", "datadog"}, {"grafana", "prometheus"}}
	for _, consumer := range consumers {
		sets = append(sets, []string{consumer})
	}
	for name, pod := range metricsPods(t) {
		for _, set := range sets {
			t.Run(name+"/"+strings.Join(set, "+"), func(t *testing.T) { checkCalls(t, pod, consuming(t, set...)) })
		}
	}
}

func checkCalls(t *testing.T, pod corev1.Pod, effective *policy.Effective) {
	t.Helper()
	first := call(t, pod, effective)
	if again := call(t, *first.Pod(), effective); len(again.Operations()) > 0 {
		t.Errorf("the second call has a patch: %v", again.Operations())
	}
	if _, before := pod.Annotations[mutate.StatusAnnotation]; !before {
		for key, value := range pod.Annotations {
			if first.Pod().Annotations[key] != value {
				t.Errorf("%s was changed from %q to %q", key, value, first.Pod().Annotations[key])
			}
		}
	}
	for key := range first.Pod().Annotations {
		if _, name, _ := strings.Cut(key, "/"); len(name) > 63 {
			t.Errorf("the API server refuses the annotation %s", key)
		}
	}
	for _, c := range first.Pod().Spec.InitContainers {
		if c.Name != "twelvefold-merge" {
			continue
		}
		if plan, err := metricsmerge.ParsePlan(c.Env[0].Value); err != nil || len(c.Ports) != 1 || plan.Port != c.Ports[0].ContainerPort {
			t.Errorf("merge has the plan %s and the ports %v: %v", c.Env[0].Value, c.Ports, err)
		}
	}
}

// istio does what its injector does: it adds its proxy, and takes the prometheus.io annotations away to it.
func istio(pod corev1.Pod) corev1.Pod {
	pod = *pod.DeepCopy()
	a := pod.Annotations
	proxy := corev1.Container{Name: "istio-proxy", Image: "docker.io/istio/proxyv2:1.27.1", Ports: []corev1.ContainerPort{{Name: "http-envoy-prom", ContainerPort: 15090}}}
	if a["prometheus.io/port"] != "" {
		proxy.Env = []corev1.EnvVar{{Name: "ISTIO_PROMETHEUS_ANNOTATIONS", Value: fmt.Sprintf(`{"scrape":"true","path":%q,"port":%q}`, a["prometheus.io/path"], a["prometheus.io/port"])}}
	}
	if a == nil {
		a = map[string]string{}
	}
	a["sidecar.istio.io/status"] = `{"containers":["istio-proxy"]}`
	a["prometheus.io/scrape"], a["prometheus.io/port"], a["prometheus.io/path"] = "true", "15020", "/stats/prometheus"
	pod.Annotations = a
	pod.Spec.Containers = append([]corev1.Container{proxy}, pod.Spec.Containers...)
	return pod
}

func linkerd(pod corev1.Pod) corev1.Pod {
	pod = *pod.DeepCopy()
	proxy := corev1.Container{Name: "linkerd-proxy", Image: "cr.l5d.io/linkerd/proxy:edge-25.9.1", Ports: []corev1.ContainerPort{{Name: "linkerd-proxy", ContainerPort: 4143}, {Name: "linkerd-admin", ContainerPort: 4191}}}
	pod.Spec.Containers = append([]corev1.Container{proxy}, pod.Spec.Containers...)
	return pod
}

func dapr(pod corev1.Pod) corev1.Pod {
	pod = *pod.DeepCopy()
	proxy := corev1.Container{Name: "daprd", Image: "docker.io/daprio/daprd:1.16.0", Ports: []corev1.ContainerPort{{Name: "dapr-http", ContainerPort: 3500}, {Name: "dapr-metrics", ContainerPort: 9090}}}
	pod.Spec.Containers = append(pod.Spec.Containers, proxy)
	return pod
}

// shop has two endpoints, one of them an exporter of ours; its Dapr has its port besides.
func shop() corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "shop", Annotations: map[string]string{"dapr.io/enabled": "true", "twelvefold.dev/metrics": "8081/actuator/prometheus"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "api", Image: "registry.example.com/api:1.4.2", Ports: []corev1.ContainerPort{{ContainerPort: 8081}}}, {Name: "cache", Image: "redis:8.2.1"}}},
	}
}

// A mesh that comes between two calls for a pod changes nothing of what we did, and istio scrapes what is merged.
func TestMeshesBetweenTheCalls(t *testing.T) {
	for _, set := range [][]string{{"prometheus"}, consumers} {
		effective := consuming(t, set...)
		first := call(t, shop(), effective).Pod()
		for name, mesh := range map[string]func(corev1.Pod) corev1.Pod{"istio": istio, "linkerd": linkerd, "dapr": dapr} {
			before := mesh(*first)
			after := call(t, before, effective).Pod()
			if diff := cmp.Diff(before.Spec, after.Spec); diff != "" {
				t.Errorf("%s, %v: the second call changed the spec (-before +after):\n%s", name, set, diff)
			}
			delete(before.Annotations, mutate.StatusAnnotation)
			annotations := after.DeepCopy().Annotations
			delete(annotations, mutate.StatusAnnotation)
			if diff := cmp.Diff(before.Annotations, annotations); diff != "" {
				t.Errorf("%s, %v: the second call changed annotations (-before +after):\n%s", name, set, diff)
			}
			if third := call(t, *after, effective); len(third.Operations()) > 0 {
				t.Errorf("%s, %v: the third call has a patch: %v", name, set, third.Operations())
			}
		}
		if env := istio(*first).Spec.Containers[0].Env; len(env) == 0 || !strings.Contains(env[0].Value, `"path":"/metrics","port":"9464"`) {
			t.Errorf("%v: istio scrapes %v", set, env)
		}
	}
}

// For linkerd and Dapr it makes no difference who comes first. What istio has injected before us it doesn't change any more.
func TestMeshesBeforeUs(t *testing.T) {
	effective := consuming(t, "prometheus")
	for name, mesh := range map[string]func(corev1.Pod) corev1.Pod{"linkerd": linkerd, "dapr": dapr} {
		before, between := call(t, mesh(shop()), effective).Pod(), call(t, mesh(*call(t, shop(), effective).Pod()), effective).Pod()
		if diff := cmp.Diff(before, between); diff != "" {
			t.Errorf("%s (-before us +between the calls):\n%s", name, diff)
		}
	}
	injected := istio(shop())
	if diff := cmp.Diff(injected.Spec, call(t, injected, effective).Pod().Spec); diff != "" {
		t.Errorf("a sidecar that istio does not scrape was added (-before +after):\n%s", diff)
	}
}

// An exporter that another webhook adds between the calls joins the others, and istio still scrapes the one port.
func TestExporterBetweenTheCalls(t *testing.T) {
	effective := consuming(t, "prometheus")
	added := corev1.Container{Name: "added", Image: "quay.io/prometheuscommunity/postgres-exporter:v0.18.1"}
	for name, mesh := range map[string]func(corev1.Pod) corev1.Pod{"alone": func(p corev1.Pod) corev1.Pod { return p }, "istio": istio} {
		pod := mesh(*call(t, shop(), effective).Pod())
		pod.Spec.Containers = append([]corev1.Container{added}, pod.Spec.Containers...)
		after := call(t, pod, effective).Pod()
		plan := metricsmerge.Plan{}
		for _, c := range after.Spec.InitContainers {
			if c.Name == "twelvefold-merge" {
				var err error
				if plan, err = metricsmerge.ParsePlan(c.Env[0].Value); err != nil {
					t.Fatal(err)
				}
			}
		}
		want := metricsmerge.Plan{Port: 9464, Targets: []metricsmerge.Target{
			{Source: "api", Port: 8081, Path: "/actuator/prometheus", Scheme: "http"},
			{Source: "cache", Port: 9121, Path: "/metrics", Scheme: "http"},
			{Source: "added", Port: 9187, Path: "/metrics", Scheme: "http"},
		}}
		if diff := cmp.Diff(want, plan); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if again := call(t, *after, effective); len(again.Operations()) > 0 {
			t.Errorf("%s: the third call has a patch: %v", name, again.Operations())
		}
	}
}

// Whatever users and other tools wrote for whichever consumer: it stays, and a second call changes nothing.
func FuzzConsumers(f *testing.F) {
	f.Add("true", "8080", "/metrics", "https", `{"openmetrics":{}}`, "8080,9090/stats", "8080: x")
	f.Add("", "15020", "/stats/prometheus", "", "", "8081,8082", "")
	f.Add("yes", "http", "http://a/b", "HTTP://", "[", "8081/%%host%%,8082/a?b=c", "endpoint: [")
	f.Add("true", "", "/a\"\n", "", "", "9464", "`endpoint`")
	f.Fuzz(func(t *testing.T, scrape, port, path, scheme, checks, metrics, config string) {
		annotations := map[string]string{}
		for key, value := range map[string]string{
			"prometheus.io/scrape": scrape, "prometheus.io/port": port, "prometheus.io/path": path, "prometheus.io/scheme": scheme,
			"k8s.grafana.com/scrape": scrape, "k8s.grafana.com/metrics.portNumber": port, "k8s.grafana.com/metrics.path": path,
			"ad.datadoghq.com/app.checks": checks, "twelvefold.dev/metrics": metrics, "io.opentelemetry.discovery.metrics.8080/config": config,
		} {
			if value != "" {
				annotations[key] = strings.ToValidUTF8(value, "?")
			}
		}
		pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Annotations: annotations}, Spec: corev1.PodSpec{Containers: []corev1.Container{
			{Name: "app", Image: "shop:1", Ports: []corev1.ContainerPort{{Name: "metrics", ContainerPort: 8080}}},
			{Name: "cache", Image: "redis:8.2.1"},
		}}}
		for _, set := range [][]string{{"prometheus"}, {"grafana"}, consumers} {
			checkCalls(t, pod, consuming(t, set...))
		}
	})
}
