package admission_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// What is mended is no finding any more, and is counted by itself: in pods, once, and not in templates.
func TestRepairsAreCounted(t *testing.T) {
	s := newServer(t, "")
	deployment := `{"metadata":{"name":"a"},"spec":{"template":{"spec":{"containers":[{"name":"a","image":"a:1"}]}}}}`
	s.ask(t, "/mutate", "Pod", `{"metadata":{"name":"a"},"spec":{"containers":[{"name":"a","image":"a:1"},{"name":"b","image":"b:1"}]}}`, "")
	s.ask(t, "/mutate", "Pod", `{"metadata":{"name":"a"},"spec":{"containers":[{"name":"a","image":"a:1"}]}}`, `,"dryRun":true`)
	s.ask(t, "/validate", "Deployment", deployment, "")
	want := `# HELP twelvefold_repairs_total Pods that were repaired, by the rule that would have found something.
# TYPE twelvefold_repairs_total counter
twelvefold_repairs_total{rule="release-id"} 1
`
	if err := testutil.GatherAndCompare(s.registry, strings.NewReader(want), "twelvefold_repairs_total"); err != nil {
		t.Error(err)
	}
}

func TestDryRunIsNotCounted(t *testing.T) {
	s := newServer(t, "")
	s.ask(t, "/validate", "Pod", floating, `,"dryRun":true`)
	if n, err := testutil.GatherAndCount(s.registry, "twelvefold_decisions_total", "twelvefold_findings_total"); err != nil || n != 0 {
		t.Errorf("%d series after a dry run (%v)", n, err)
	}
	s.ask(t, "/validate", "Pod", floating, `,"dryRun":false`)
	if n, err := testutil.GatherAndCount(s.registry, "twelvefold_decisions_total"); err != nil || n != 1 {
		t.Errorf("%d series after a real request (%v)", n, err)
	}
}

func TestEveryAnswerIsCounted(t *testing.T) {
	s := newServer(t, "")
	s.ask(t, "/mutate", "Pod", `{"spec":{"containers":[null]}}`, "")
	s.ask(t, "/mutate", "Pod", `{"metadata":{"name":"a"},"spec":{"containers":[{"name":"a","image":"a:1"}]}}`, "")
	s.ask(t, "/validate", "ConfigMap", `{}`, "")
	s.ask(t, "/validate-policy", "ConfigMap", `{"data":{}}`, "")
	s.post("/mutate", "{")
	want := `# HELP twelvefold_decisions_total Requests by webhook and decision: allowed, mutated, denied, error.
# TYPE twelvefold_decisions_total counter
twelvefold_decisions_total{decision="denied",webhook="mutate"} 1
twelvefold_decisions_total{decision="mutated",webhook="mutate"} 1
twelvefold_decisions_total{decision="error",webhook="mutate"} 1
twelvefold_decisions_total{decision="allowed",webhook="validate"} 1
twelvefold_decisions_total{decision="denied",webhook="validate-policy"} 1
`
	if err := testutil.GatherAndCompare(s.registry, strings.NewReader(want), "twelvefold_decisions_total"); err != nil {
		t.Error(err)
	}
}
