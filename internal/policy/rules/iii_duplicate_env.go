package rules

import (
	"fmt"

	"twelvefold.dev/internal/policy"
)

// duplicate-env
//
//	restricted: env[*].name of all containers
//	allowed:    names that differ in case; the same name in two containers, or in env and envFrom
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "duplicate-env", Factor: "III", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title:   "A variable is set twice",
			Why:     "The last one holds, and who reads or edits the first is misled. kubectl apply merges env by name: once applied, such a list can lose the wrong one of the two, so a later change does not do what it says.",
			Fix:     "Remove the one that is not meant. In Helm charts it is most often a value of extraEnv that the chart sets already: use the chart's own setting.",
			Allowed: "A name in env that envFrom brings too: env overrides it, and that is documented. http_proxy and HTTP_PROXY are two variables.",
			Example: "env:\n- {name: LOG_LEVEL, value: info}\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			for _, c := range s.Containers() {
				times := map[string]int{}
				for _, e := range c.Env {
					if times[e.Name]++; times[e.Name] == 2 {
						report(Violation{Path: c.EnvPath(e.Name), Container: c.Name, Message: fmt.Sprintf("%s is set more than once; the last one holds", e.Name),
							Fix: "remove the one that is not meant"})
					}
				}
			}
		},
	})
}
