package docs_test

import (
	"os"
	"regexp"
	"testing"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
)

var policyExample = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// What the page tells people to write is a policy.
func TestMetricsPolicies(t *testing.T) {
	text, err := os.ReadFile("metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := policyExample.FindAllSubmatch(text, -1)
	if len(examples) < 5 {
		t.Fatalf("%d examples", len(examples))
	}
	for _, example := range examples {
		if _, err := policy.Parse(example[1], rules.Catalogue{}); err != nil {
			t.Errorf("%v in\n%s", err, example[1])
		}
	}
}
