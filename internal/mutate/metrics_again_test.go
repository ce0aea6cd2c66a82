package mutate_test

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/mutate"
	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
)

// A container that another webhook puts first changes nothing of what was injected and announced, and brings no warning.
func TestMetricsStayWhenAContainerJoins(t *testing.T) {
	for _, name := range []string{"apache", "credentials", "custom", "dotnet", "exporter", "images", "jmx", "jmx-before-1.35", "jmx-policy", "memcached", "mongodb",
		"mysql", "php-fpm", "postgres", "profiles", "rabbitmq", "redis", "runtimes-policy", "several", "spring-boot", "statsd"} {
		for _, input := range reviewtest.Load(t, filepath.Join("testdata", "metrics", name, "in.yaml")) {
			template, _, err := input.Object.Template()
			if err != nil {
				t.Fatal(err)
			}
			first, warned := mutatePod(t, input, template.JSON)
			if len(first.Pod().Annotations) < 2 { // nothing was done
				continue
			}
			joined := first.Pod().DeepCopy()
			joined.Spec.Containers = append([]corev1.Container{{Name: "joined", Image: "registry.example.com/joined:1.0.0"}}, joined.Spec.Containers...)
			data, err := json.Marshal(joined)
			if err != nil {
				t.Fatal(err)
			}
			second, findings := mutatePod(t, input, data)
			if len(findings) > len(warned) {
				t.Errorf("%s/%s: %v", name, joined.Name, findings)
			}
			delete(joined.Annotations, mutate.StatusAnnotation)
			delete(second.Pod().Annotations, mutate.StatusAnnotation)
			if diff := cmp.Diff(joined, second.Pod()); diff != "" {
				t.Errorf("%s/%s (-before +after):\n%s", name, joined.Name, diff)
			}
		}
	}
}

func mutatePod(t *testing.T, input review.Input, raw []byte) (*podpatch.Builder, []policy.Finding) {
	t.Helper()
	edit, err := podpatch.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	findings, _ := mutate.Run(edit, input.Policy.For("shop", nil), input.Facts)
	return edit, findings
}

// An app of the same kind that joins later gets an exporter of its own; the one that is there stays its app's.
func TestExportersStayTheirApps(t *testing.T) {
	redis := func(name string, port int32) corev1.Container {
		return corev1.Container{Name: name, Image: "redis:8.2.1", Ports: []corev1.ContainerPort{{ContainerPort: port}}}
	}
	pod := corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{redis("first", 6379)}}}
	joined := run(t, pod).Pod().DeepCopy()
	joined.Spec.Containers = append([]corev1.Container{redis("joined", 6380)}, joined.Spec.Containers...)
	again := run(t, *joined)
	want := map[string]string{"twelvefold-redis-exporter": "redis://localhost:6379", "twelvefold-redis-2-exporter": "redis://localhost:6380"}
	got := map[string]string{}
	for _, c := range again.Pod().Spec.InitContainers {
		for _, e := range c.Env {
			if e.Name == "REDIS_ADDR" {
				got[c.Name] = e.Value
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the exporters (-want +got):\n%s", diff)
	}
	if third := run(t, *again.Pod()); len(third.Operations()) > 0 {
		t.Errorf("another run has a patch: %v", third.Operations())
	}
}
