package docs_test

import (
	"testing"

	"twelvefold.dev/internal/explain"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/review/reviewtest"
)

func TestFactorsAreGenerated(t *testing.T) {
	pages := explain.FactorPages()
	if len(pages) != len(policy.Factors) {
		t.Fatalf("%d pages", len(pages))
	}
	for i, page := range pages {
		if page.Factor != policy.Factors[i] || page.Asks == "" || page.Sees == "" || len(page.Factor.NotAssessable()) == 0 {
			t.Errorf("the page of factor %s is incomplete or out of order", policy.Factors[i])
		}
	}
	reviewtest.Golden(t, "factors.md", []byte(explain.FactorsMarkdown()))
}
