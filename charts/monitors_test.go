package charts

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"twelvefold.dev/internal/monitors"
)

// podMonitor is as much of the type as the chart uses, by the names of both CRDs.
type podMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		NamespaceSelector     struct{ Any bool }   `json:"namespaceSelector"`
		Selector              metav1.LabelSelector `json:"selector"`
		LabelLimit            int                  `json:"labelLimit"`
		LabelNameLengthLimit  int                  `json:"labelNameLengthLimit"`
		LabelValueLengthLimit int                  `json:"labelValueLengthLimit"`
		PodMetricsEndpoints   []struct {
			Interval    string       `json:"interval"`
			Relabelings []relabeling `json:"relabelings"`
		} `json:"podMetricsEndpoints"`
	} `json:"spec"`
}

type relabeling struct {
	Action       string   `json:"action"`
	SourceLabels []string `json:"sourceLabels"`
	Regex        string   `json:"regex"`
	Replacement  *string  `json:"replacement"`
	TargetLabel  string   `json:"targetLabel"`
}

func (p *podMonitor) DeepCopyObject() runtime.Object { copied := *p; return &copied }

const annotatedPods = "PodMonitor/twelvefold-annotated-pods"

func isMonitor(kind schema.GroupVersionKind) bool { return slices.Contains(monitors.Kinds(), kind) }

// apply relabels a target as Prometheus does; nil if it is dropped.
func apply(t *testing.T, steps []relabeling, target map[string]string) map[string]string {
	t.Helper()
	target = maps.Clone(target)
	for _, step := range steps {
		regex := regexp.MustCompile("^(?s:" + step.Regex + ")$")
		var values []string
		for _, label := range step.SourceLabels {
			values = append(values, target[label])
		}
		value := strings.Join(values, ";")
		switch step.Action {
		case "keep":
			if !regex.MatchString(value) {
				return nil
			}
		case "labeldrop":
			maps.DeleteFunc(target, func(label, _ string) bool { return regex.MatchString(label) })
		case "replace":
			replacement := "$1"
			if step.Replacement != nil {
				replacement = *step.Replacement
			}
			if found := regex.FindStringSubmatchIndex(value); found != nil {
				target[step.TargetLabel] = string(regex.ExpandString(nil, replacement, value, found))
			}
		default:
			t.Fatalf("action %q", step.Action)
		}
	}
	maps.DeleteFunc(target, func(label, _ string) bool { return strings.HasPrefix(label, "__meta_") })
	return target
}

func TestPodMonitorScrapesWhatIsAnnotated(t *testing.T) {
	if _, ok := render(t)[annotatedPods]; ok {
		t.Error("by default there is a PodMonitor")
	}
	if _, err := template(t, "metrics.podMonitor.enabled=true", "metrics.podMonitor.group=monitoring.example.com"); err == nil {
		t.Error("any group is taken")
	}
	for _, group := range monitors.Groups {
		t.Run(group, func(t *testing.T) {
			p := get[*podMonitor](t, render(t, "metrics.podMonitor.enabled=true", "metrics.podMonitor.group="+group,
				"metrics.podMonitor.labels.release=prometheus", "metrics.podMonitor.interval=15s"), annotatedPods)
			if p.APIVersion != group+"/v1" || p.Labels["release"] != "prometheus" || !p.Spec.NamespaceSelector.Any ||
				len(p.Spec.PodMetricsEndpoints) != 1 || p.Spec.PodMetricsEndpoints[0].Interval != "15s" {
				t.Errorf("%+v", p)
			}
			limits, want := []int{p.Spec.LabelLimit, p.Spec.LabelNameLengthLimit, p.Spec.LabelValueLengthLimit}, []int{0, 0, 0}
			if group == "azmonitoring.coreos.com" {
				want = []int{63, 511, 1023}
			}
			if diff := cmp.Diff(want, limits); diff != "" {
				t.Errorf("limits (-want +got):\n%s", diff)
			}
			checkTargets(t, p.Spec.PodMetricsEndpoints[0].Relabelings)
		})
	}
}

func checkTargets(t *testing.T, steps []relabeling) {
	t.Helper()
	target := map[string]string{"__address__": "10.0.0.7:80", "__scheme__": "http", "__metrics_path__": "/metrics", "container": "app", "endpoint": "", "pod": "shop",
		"__meta_kubernetes_pod_ip":                                      "10.0.0.7",
		"__meta_kubernetes_pod_annotationpresent_twelvefold_dev_status": "true",
		"__meta_kubernetes_pod_annotation_prometheus_io_scrape":         "true",
		"__meta_kubernetes_pod_annotation_prometheus_io_port":           "8081",
		"__meta_kubernetes_pod_annotation_prometheus_io_path":           "/prom"}
	want := map[string]string{"__address__": "10.0.0.7:8081", "__scheme__": "http", "__metrics_path__": "/prom", "pod": "shop"}
	for _, test := range []struct {
		label, value, changed, to string
	}{
		{"pod", "shop", "pod", "shop"},
		{"container", "other", "pod", "shop"}, // one target of all ports
		{"__meta_kubernetes_pod_annotation_prometheus_io_scheme", "https", "__scheme__", "https"},
		{"__meta_kubernetes_pod_annotation_prometheus_io_scheme", "ftp", "__scheme__", "http"},
		{"__meta_kubernetes_pod_annotation_prometheus_io_path", "", "__metrics_path__", "/metrics"},
		{"__meta_kubernetes_pod_ip", "fd00::7", "__address__", "[fd00::7]:8081"},
	} {
		in, expected := maps.Clone(target), maps.Clone(want)
		in[test.label], expected[test.changed] = test.value, test.to
		if diff := cmp.Diff(expected, apply(t, steps, in)); diff != "" {
			t.Errorf("%s=%s (-want +got):\n%s", test.label, test.value, diff)
		}
	}
	for label, value := range map[string]string{
		"__meta_kubernetes_pod_annotation_prometheus_io_scrape": "false", "__meta_kubernetes_pod_annotation_prometheus_io_port": "",
		"__meta_kubernetes_pod_annotationpresent_twelvefold_dev_status": "",
	} {
		in := maps.Clone(target)
		in[label] = value
		if got := apply(t, steps, in); got != nil {
			t.Errorf("%s=%q is scraped: %v", label, value, got)
		}
	}
}

// It selects every pod; if it counted among the monitors that scrape a pod already, no pod would be annotated.
func TestPodMonitorDoesNotCount(t *testing.T) {
	p := get[*podMonitor](t, render(t, "metrics.podMonitor.enabled=true"), annotatedPods)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(p)
	if err != nil {
		t.Fatal(err)
	}
	index := &monitors.Index{}
	if err := index.Open().Put(&unstructured.Unstructured{Object: content}); err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}}}
	pod.Annotations = map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "8081", "twelvefold.dev/status": "{}"}
	if got := index.Scrapes("shop", pod); got != "" {
		t.Errorf("%s counts", got)
	}
}

// Without the value neither monitors nor Services may be read, and the webhook doesn't try.
func TestMonitorsCanBeTurnedOff(t *testing.T) {
	for _, on := range []bool{true, false} {
		all := render(t, fmt.Sprintf("metrics.monitors=%t", on))
		var rights []string
		for _, rule := range get[*rbacv1.ClusterRole](t, all, "ClusterRole/twelvefold-webhook").Rules {
			for _, resource := range rule.Resources {
				if slices.Contains([]string{"podmonitors", "servicemonitors", "services"}, resource) {
					rights = append(rights, resource+" "+strings.Join(rule.Verbs, ","))
				}
			}
		}
		var want []string
		if on {
			want = []string{"podmonitors list,watch", "servicemonitors list,watch", "services list,watch"}
		}
		if diff := cmp.Diff(want, rights); diff != "" {
			t.Errorf("metrics.monitors=%t (-want +got):\n%s", on, diff)
		}
		mustHaveArg(t, get[*appsv1.Deployment](t, all, "Deployment/twelvefold-webhook").Spec.Template.Spec.Containers[0], fmt.Sprintf("--monitors=%t", on))
	}
}
