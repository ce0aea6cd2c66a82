package rules

import (
	"fmt"
	"strings"

	"twelvefold.dev/internal/policy"
)

// source-provenance
//
//	restricted: metadata.annotations
//	allowed:    org.opencontainers.image.source and revision, not empty, as annotations or as labels of the first container's image
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "source-provenance", Factor: "I", Levels: policy.At(policy.Audit)},
		Page: policy.Page{
			Title:   "The pod does not say which code it runs",
			Why:     "In an outage somebody has to find the repository and the commit behind a pod. Without a note on the pod that is a search through registries and pipelines, and a scanner's finding has no owner.",
			Fix:     "Let the pipeline write both annotations on the pod template, from the variables that it has anyway.",
			Allowed: "Both annotations, with any value. Labels of these names in the image of the pod's first container count as well where registries may be asked: twelvefold check --registry, and the background scan with the chart's scan.registry.",
			Example: "metadata:\n  annotations:\n    org.opencontainers.image.source: https://github.com/contoso/shop\n    org.opencontainers.image.revision: 8c1d5a0\n",
		},
		Check: checkSourceProvenance,
	})
}

func checkSourceProvenance(s *Subject, report func(Violation)) {
	missing := missingFrom(s.Pod.Annotations, []string{"org.opencontainers.image.source", "org.opencontainers.image.revision"})
	if len(missing) == 0 {
		return
	}
	seen, fix := "no "+strings.Join(missing, ", no "), "add the repository and the commit by these annotations"
	if mains := s.Containers(Main); s.Facts.Labels != nil && len(mains) > 0 {
		labels, err := s.Facts.Labels(mains[0].Image)
		if missing = missingFrom(labels, missing); len(missing) == 0 {
			return
		}
		seen = "no " + strings.Join(missing, ", no ") + ", neither here nor among the labels of the image"
		if err != nil {
			seen = fmt.Sprintf("no %s, and the labels of the image are not known: %v", strings.Join(missing, ", no "), err)
		}
		fix += ", or have the build label the image"
	}
	report(Violation{Path: "metadata.annotations", Message: seen, Fix: fix})
}

// missingFrom are the keys that have no value.
func missingFrom(values map[string]string, keys []string) (missing []string) {
	for _, key := range keys {
		if values[key] == "" {
			missing = append(missing, key)
		}
	}
	return missing
}
