package mutate_test

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
)

// A monitor that comes between two calls for one pod undoes nothing; one that goes leaves a pod that must be annotated.
func TestMonitorsMayComeAndGoBetweenCalls(t *testing.T) {
	in := reviewtest.Load(t, filepath.Join("testdata", "metrics", "exporter", "in.yaml"))[0]
	scraped := func(*corev1.Pod) string { return "PodMonitor shop/all" }
	nobody := func(*corev1.Pod) string { return "" }
	call := func(in review.Input, monitored func(*corev1.Pod) string) review.Input {
		t.Helper()
		in.Facts.Monitored = monitored
		verdict, err := review.Mutate(in)
		if err != nil {
			t.Fatal(err)
		}
		in.Object = reviewtest.Apply(t, in.Object, verdict)
		return in
	}
	annotated, left := call(in, nobody), call(in, scraped)
	if cmp.Equal(annotated.Object.JSON, left.Object.JSON) {
		t.Fatal("the monitor makes no difference")
	}
	if diff := cmp.Diff(string(annotated.Object.JSON), string(call(annotated, scraped).Object.JSON)); diff != "" {
		t.Errorf("a monitor has come (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(string(left.Object.JSON), string(call(left, scraped).Object.JSON)); diff != "" {
		t.Errorf("the monitor has stayed (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(decoded(t, annotated), decoded(t, call(left, nobody))); diff != "" {
		t.Errorf("the monitor has gone (-never there +after):\n%s", diff)
	}
}

func decoded(t *testing.T, in review.Input) (object map[string]any) {
	t.Helper()
	if err := json.Unmarshal(in.Object.JSON, &object); err != nil {
		t.Fatal(err)
	}
	return object
}
