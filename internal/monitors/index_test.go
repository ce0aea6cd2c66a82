package monitors

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// object reads one object; a Service is typed, as in the cluster's cache.
func object(t testing.TB, text string) client.Object {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if u.GetKind() != "Service" {
		return u
	}
	s := &corev1.Service{}
	if err := yaml.UnmarshalStrict([]byte(text), s); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	s.TypeMeta.Kind, s.TypeMeta.APIVersion = "", "" // as an informer has it
	return s
}

func monitorOf(kind, name, spec string) string {
	namespace, name, _ := strings.Cut(name, "/")
	return fmt.Sprintf("{apiVersion: monitoring.coreos.com/v1, kind: %s, metadata: {namespace: %s, name: %s}, spec: {%s}}", kind, namespace, name, spec)
}

func podMonitor(name, spec string) string     { return monitorOf(PodMonitor, name, spec) }
func serviceMonitor(name, spec string) string { return monitorOf(ServiceMonitor, name, spec) }

// shop is the pod of all tests, in the namespace shop.
func shop(t testing.TB) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	err := yaml.UnmarshalStrict([]byte(`
metadata:
  labels: {app: shop, app.kubernetes.io/name: shop, tier: web}
  annotations: {contoso.com/scrape: "yes", prometheus.io/scrape: "true"}
spec:
  initContainers:
  - {name: migrate, ports: [{name: once, containerPort: 7000}]}
  - {name: sidecar, restartPolicy: Always, ports: [{name: aside, containerPort: 9000}]}
  containers:
  - {name: app, ports: [{name: http, containerPort: 8080}, {name: metrics, containerPort: 8081}]}
`), pod)
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

const byLabel, anyPort = `selector: {matchLabels: {app: shop}}`, `podMetricsEndpoints: [{}]`

func TestPodMonitors(t *testing.T) {
	endpoint := func(text string) string { return byLabel + `, podMetricsEndpoints: [{` + text + `}]` }
	keep := func(label, regex string) string {
		return endpoint(fmt.Sprintf(`relabelings: [{action: keep, sourceLabels: [%s], regex: %q}]`, label, regex))
	}
	drop := func(label, regex string) string { return strings.Replace(keep(label, regex), "keep", "Drop", 1) }
	for _, test := range []struct {
		name, spec string
		want       bool
	}{
		{"labels", byLabel + `, ` + anyPort, true},
		{"other labels", `selector: {matchLabels: {app: other}}, ` + anyPort, false},
		{"one of two labels", `selector: {matchLabels: {app: shop, tier: db}}, ` + anyPort, false},
		{"no selector", anyPort, true},
		{"an empty selector", `selector: {}, ` + anyPort, true},
		{"In", `selector: {matchExpressions: [{key: app, operator: In, values: [other, shop]}]}, ` + anyPort, true},
		{"not In", `selector: {matchExpressions: [{key: app, operator: In, values: [other]}]}, ` + anyPort, false},
		{"NotIn", `selector: {matchExpressions: [{key: app, operator: NotIn, values: [shop]}]}, ` + anyPort, false},
		{"NotIn, of a label that is absent", `selector: {matchExpressions: [{key: team, operator: NotIn, values: [shop]}]}, ` + anyPort, true},
		{"Exists", `selector: {matchExpressions: [{key: tier, operator: Exists}]}, ` + anyPort, true},
		{"not Exists", `selector: {matchExpressions: [{key: team, operator: Exists}]}, ` + anyPort, false},
		{"DoesNotExist", `selector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}, ` + anyPort, false},
		{"labels and expressions", `selector: {matchLabels: {app: shop}, matchExpressions: [{key: tier, operator: In, values: [db]}]}, ` + anyPort, false},

		{"no endpoint", byLabel, false},
		{"an empty list of endpoints", byLabel + `, podMetricsEndpoints: []`, false},
		{"a port by name", endpoint(`port: metrics`), true},
		{"a port of a sidecar", endpoint(`port: aside`), true},
		{"a port of an init container", endpoint(`port: once`), false},
		{"a port that the pod has not", endpoint(`port: prometheus`), false},
		{"the second endpoint", byLabel + `, podMetricsEndpoints: [{port: prometheus}, {port: http}]`, true},
		{"a port by number", endpoint(`portNumber: 8081`), true},
		{"another number", endpoint(`portNumber: 9121`), false},
		{"a target port by number", endpoint(`targetPort: 8081`), true},
		{"a target port by name", endpoint(`targetPort: metrics`), true},
		{"another target port", endpoint(`targetPort: 8082`), false},
		{"the name goes before the number", endpoint(`port: prometheus, portNumber: 8081, targetPort: 8081`), false},

		{"keeps a container", keep(containerName, "app"), true},
		{"keeps another container", keep(containerName, "istio-proxy"), false},
		{"a regex is anchored", keep(containerName, "ap"), false},
		{"keeps a label", keep("__meta_kubernetes_pod_label_app_kubernetes_io_name", "shop|cart"), true},
		{"keeps a label that is absent", keep("__meta_kubernetes_pod_label_team", ".+"), false},
		{"keeps by the presence of a label", keep("__meta_kubernetes_pod_labelpresent_tier", "true"), true},
		{"keeps an annotation", keep("__meta_kubernetes_pod_annotation_contoso_com_scrape", "yes"), true},
		{"keeps by the presence of an annotation", keep("__meta_kubernetes_pod_annotationpresent_contoso_com_port", "true"), false},
		{"reads what Twelvefold writes", keep("__meta_kubernetes_pod_annotation_prometheus_io_scrape", "true"), false},
		{"reads that Twelvefold wrote", keep("__meta_kubernetes_pod_annotationpresent_prometheus_io_scrape", "true"), false},
		{"drops by the annotation only", drop("__meta_kubernetes_pod_annotation_prometheus_io_scrape", "false"), true},
		{"keeps what nobody knows", keep("__meta_kubernetes_pod_ready", "true"), true},
		{"keeps by a label that was written before", endpoint(`relabelings: [{targetLabel: ` + containerName + `, replacement: x}, {action: keep, sourceLabels: [` + containerName + `], regex: x}]`), true},
		{"keeps two labels", endpoint(`relabelings: [{action: keep, sourceLabels: [` + containerName + `, ` + containerPortName + `], regex: "app;metrics"}]`), true},
		{"keeps with a separator", endpoint(`relabelings: [{action: keep, separator: /, sourceLabels: [` + containerName + `, ` + containerPortName + `], regex: "app/x"}]`), false},
		{"keeps everything", endpoint(`relabelings: [{action: keep, sourceLabels: [` + containerName + `]}]`), true},
		{"drops the namespace", drop(namespaceLabel, "shop"), false},
		{"drops one of the ports", drop(containerPortNumber, "8080"), true},

		{"another namespace", byLabel + `, namespaceSelector: {matchNames: [other]}, ` + anyPort, false},
		{"the namespace by name", byLabel + `, namespaceSelector: {matchNames: [other, shop]}, ` + anyPort, true},
		{"any namespace", byLabel + `, namespaceSelector: {any: true}, ` + anyPort, true},
		{"any goes before names", byLabel + `, namespaceSelector: {any: true, matchNames: [other]}, ` + anyPort, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := &Index{}
			if err := x.Open().Put(object(t, podMonitor("shop/all", test.spec))); err != nil {
				t.Fatal(err)
			}
			want := ""
			if test.want {
				want = "PodMonitor shop/all"
			}
			if got := x.Scrapes("shop", shop(t)); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestAMonitorLooksInItsOwnNamespace(t *testing.T) {
	x := &Index{}
	if err := x.Open().Put(object(t, podMonitor("monitoring/all", anyPort))); err != nil {
		t.Fatal(err)
	}
	if got := x.Scrapes("shop", shop(t)); got != "" {
		t.Errorf("a pod of another namespace: %q", got)
	}
	if got := x.Scrapes("monitoring", shop(t)); got != "PodMonitor monitoring/all" {
		t.Errorf("a pod of its own: %q", got)
	}
}

func TestServiceMonitors(t *testing.T) {
	const web = `{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: web, labels: {app: web}},
		spec: {selector: {app: shop}, ports: [{name: public, port: 80, targetPort: http}, {name: scrape, port: 9090, targetPort: 8081}]}}`
	const all = `selector: {matchLabels: {app: web}}, namespaceSelector: {matchNames: [shop]}, `
	for _, test := range []struct {
		name, service, spec string
		want                bool
	}{
		{"a Service", web, all + `endpoints: [{}]`, true},
		{"no endpoint", web, all + `endpoints: []`, false},
		{"endpoints of the other kind", web, all + `podMetricsEndpoints: [{}]`, false},
		{"the Service's port", web, all + `endpoints: [{port: scrape}]`, true},
		{"a port of the container", web, all + `endpoints: [{port: metrics}]`, false},
		{"a target port by name", web, all + `endpoints: [{targetPort: http}]`, true},
		{"a target port by number", web, all + `endpoints: [{targetPort: 8081}]`, true},
		{"a target port that the Service has not", web, all + `endpoints: [{targetPort: 9000}]`, true},
		{"a target port that the pod has not", web, all + `endpoints: [{targetPort: 9121}]`, false},
		{"no number for the port", web, all + `endpoints: [{portNumber: 9121}]`, true}, // that field is the PodMonitor's
		{"the Service's own labels", web, `selector: {matchLabels: {app: shop}}, ` + `endpoints: [{}]`, false},
		{"another namespace", web, `selector: {matchLabels: {app: web}}, namespaceSelector: {matchNames: [other]}, endpoints: [{}]`, false},
		{"the monitor's own namespace", web, `selector: {matchLabels: {app: web}}, endpoints: [{}]`, false},
		{"any namespace", web, `selector: {matchLabels: {app: web}}, namespaceSelector: {any: true}, endpoints: [{}]`, true},
		{"a Service for other pods", strings.Replace(web, "selector: {app: shop}", "selector: {app: shop, tier: db}", 1), all + `endpoints: [{}]`, false},
		{"a Service without selector", strings.Replace(web, "selector: {app: shop}, ", "", 1), all + `endpoints: [{}]`, false},
		{"a Service of another namespace", strings.Replace(web, "namespace: shop", "namespace: other", 1), all + `endpoints: [{}]`, false},
		{"a port that the pod doesn't name", strings.Replace(web, "targetPort: http", "targetPort: nothing", 1), all + `endpoints: [{port: public}]`, false},
		{"a port that no container declares", strings.Replace(web, "8081", "7777", 1), all + `endpoints: [{port: scrape}]`, true},
		{"a port without target", strings.Replace(web, "port: 9090, targetPort: 8081", "port: 8081", 1), all + `endpoints: [{port: scrape, relabelings: [{action: keep, sourceLabels: [` + containerPortName + `], regex: metrics}]}]`, true},
		{"keeps another Service", web, all + `endpoints: [{relabelings: [{action: keep, sourceLabels: [` + serviceName + `], regex: api}]}]`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := &Index{}
			if err := x.Open().Put(object(t, test.service)); err != nil {
				t.Fatal(err)
			}
			if err := x.Open().Put(object(t, serviceMonitor("monitoring/web", test.spec))); err != nil {
				t.Fatal(err)
			}
			want := ""
			if test.want {
				want = "ServiceMonitor monitoring/web"
			}
			if got := x.Scrapes("shop", shop(t)); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// Whoever may write monitors of a namespace must not stop the webhook.
func TestWhatCannotBeReadScrapesNothing(t *testing.T) {
	for _, spec := range []string{
		`selector: [], ` + anyPort,
		`selector: {matchExpressions: [{key: app, operator: Like}]}, ` + anyPort,
		`podMetricsEndpoints: [{relabelings: [{action: keep, sourceLabels: [a], regex: "("}]}]`,
		`podMetricsEndpoints: {}`,
	} {
		x := &Index{}
		feed := x.Open()
		if err := feed.Put(object(t, podMonitor("shop/all", anyPort))); err != nil {
			t.Fatal(err)
		}
		if err := feed.Put(object(t, podMonitor("shop/all", spec))); err == nil || !strings.Contains(err.Error(), "PodMonitor shop/all: spec") {
			t.Errorf("%s: error %v", spec, err)
		}
		if got := x.Scrapes("shop", shop(t)); got != "" {
			t.Errorf("%s: got %q", spec, got)
		}
	}
	x := &Index{}
	if err := x.Open().Put(&unstructured.Unstructured{Object: map[string]any{"kind": PodMonitor, "spec": "text"}}); err == nil {
		t.Error("a spec that is a text is read")
	}
}

func TestFeedsComeAndGo(t *testing.T) {
	x, pod := &Index{}, shop(t)
	put := func(f *Feed, text string) {
		t.Helper()
		if err := f.Put(object(t, text)); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want string) {
		t.Helper()
		if got := x.Scrapes("shop", pod); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	expect("")
	one, two := x.Open(), x.Open()
	put(one, podMonitor("shop/b", anyPort))
	put(two, podMonitor("shop/a", anyPort))
	put(two, serviceMonitor("shop/s", `endpoints: [{}]`))
	put(two, `{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: web}, spec: {selector: {app: shop}, ports: [{port: 80}]}}`)
	expect("PodMonitor shop/a")
	put(two, podMonitor("shop/a", `selector: {matchLabels: {app: other}}, `+anyPort)) // it changed
	expect("PodMonitor shop/b")
	if !x.Has(ServiceMonitor) {
		t.Error("there is no ServiceMonitor")
	}
	one.Close()
	put(one, podMonitor("shop/b", anyPort))
	expect("ServiceMonitor shop/s")
	two.Delete(object(t, `{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: web}}`))
	expect("")
	two.Delete(object(t, serviceMonitor("shop/s", "")))
	if x.Has(ServiceMonitor) {
		t.Error("the ServiceMonitor is still there")
	}
}

// BenchmarkScrapes asks 1000 PodMonitors for any namespace and 1000 ServiceMonitors, of which the last one scrapes the pod.
func BenchmarkScrapes(b *testing.B) {
	x := &Index{}
	feed := x.Open()
	put := func(text string) {
		if err := feed.Put(object(b, text)); err != nil {
			b.Fatal(err)
		}
	}
	for i := range 1000 {
		put(podMonitor(fmt.Sprintf("team-%d/pods", i), fmt.Sprintf(`selector: {matchLabels: {app: app-%d}}, namespaceSelector: {any: true}, `, i)+anyPort))
		put(serviceMonitor(fmt.Sprintf("team-%d/services", i), fmt.Sprintf(`selector: {matchLabels: {app: app-%d}}, namespaceSelector: {any: true}, endpoints: [{}]`, i)))
		put(fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: s-%d, labels: {app: app-%d}}, spec: {selector: {app: app-%d}, ports: [{port: 80}]}}`, i, i, i))
	}
	put(`{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: shop, labels: {app: app-999}}, spec: {selector: {app: shop}, ports: [{port: 80}]}}`)
	pod := shop(b)
	for b.Loop() {
		if got := x.Scrapes("shop", pod); got != "ServiceMonitor team-999/services" {
			b.Fatal(got)
		}
	}
}
