package review_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
)

// What popular charts make is known to be good: baseline denies none of it, not even in production, and a rule that begins to warn of it shows
// in the golden file beside it. What it warns of is to be read as the chart's maintainer would.
func TestGoodCorpus(t *testing.T) {
	production, err := policy.Parse([]byte("apiVersion: "+policy.APIVersion+"\nkind: "+policy.Kind+
		"\nspec: {profile: baseline, namespaces: [{match: {}, environment: production}]}\n"), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range reviewtest.Files(t, "testdata/corpus/good/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			var warnings bytes.Buffer
			for _, input := range reviewtest.Load(t, file) {
				input.Policy = production
				verdict, err := review.Full(input)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range verdict.Findings {
					if f.Level == policy.Deny {
						t.Errorf("%s %s is denied: %s", input.Object.Kind, input.Object.Name, f)
					}
					if f.Level >= policy.Warn {
						fmt.Fprintf(&warnings, "%s/%s %s %s: %s\n", input.Object.Kind, input.Object.Name, f.Rule, f.Path, f.Message)
					}
				}
			}
			reviewtest.Golden(t, strings.TrimSuffix(file, ".yaml")+".txt", warnings.Bytes())
		})
	}
}
