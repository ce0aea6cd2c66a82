package policy_test

import (
	"testing"

	"twelvefold.dev/internal/policy"
)

func TestEveryFactorSaysWhatNoSpecShows(t *testing.T) {
	for _, factor := range policy.Factors {
		if len(factor.NotAssessable()) == 0 {
			t.Errorf("factor %s claims that a spec shows all of it", factor)
		}
	}
	if got := policy.Factor("XIII").NotAssessable(); got != nil {
		t.Errorf("there is no factor XIII: %q", got)
	}
}
