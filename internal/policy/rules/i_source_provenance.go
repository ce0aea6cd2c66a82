package rules

import (
	"strings"

	"twelvefold.dev/internal/policy"
)

// source-provenance
//
//	restricted: metadata.annotations
//	allowed:    org.opencontainers.image.source and revision, not empty
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "source-provenance", Factor: "I", Levels: policy.At(policy.Audit)},
		Page: policy.Page{
			Title:   "The pod does not say which code it runs",
			Why:     "In an outage somebody has to find the repository and the commit behind a pod. Without a note on the pod that is a search through registries and pipelines, and a scanner's finding has no owner.",
			Fix:     "Let the pipeline write both annotations on the pod template, from the variables that it has anyway.",
			Allowed: "Both annotations, with any value.",
			Example: "metadata:\n  annotations:\n    org.opencontainers.image.source: https://github.com/contoso/shop\n    org.opencontainers.image.revision: 8c1d5a0\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			var missing []string
			for _, key := range []string{"org.opencontainers.image.source", "org.opencontainers.image.revision"} {
				if s.Pod.Annotations[key] == "" {
					missing = append(missing, key)
				}
			}
			if len(missing) > 0 {
				report(Violation{Path: "metadata.annotations", Message: "no " + strings.Join(missing, ", no "), Fix: "add the repository and the commit by these annotations"})
			}
		},
	})
}
