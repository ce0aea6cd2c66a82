package rules

import "twelvefold.dev/internal/policy"

// service-links
//
//	restricted: enableServiceLinks
//	allowed:    false
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "service-links", Factor: "IV", Levels: policy.At(policy.Audit), Repair: policy.OnRequest},
		Page: policy.Page{
			Title:   "Variables for every Service of the namespace",
			Why:     "Unless told otherwise, Kubernetes puts seven variables for each Service into each container. They go stale when a Service changes, they slow down starts in large namespaces, and they collide with the app's own config: a Service named redis sets REDIS_PORT to tcp://10.0.0.7:6379, where the app expects a number.",
			Fix:     "Set enableServiceLinks: false, and find Services by DNS. An app that reads such variables gets them as config of its own.",
			Allowed: "false.",
			Repair:  "enableServiceLinks: false is set. It is on request because an app may read such variables.",
			Example: "enableServiceLinks: false\ncontainers:\n- {name: api, image: contoso.azurecr.io/shop:1.4.2}\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			if links := s.Pod.Spec.EnableServiceLinks; links == nil || *links {
				report(Violation{Path: "spec.enableServiceLinks", Message: "each Service of the namespace becomes variables of each container", Fix: "write enableServiceLinks: false"})
			}
		},
		Mend: func(s *Subject, done func(Repaired)) {
			if links := s.Pod.Spec.EnableServiceLinks; links == nil || *links { // the API server has made it true where nobody set it
				s.edit.SetEnableServiceLinks(false)
				done(Repaired{Path: "spec.enableServiceLinks", What: "enableServiceLinks is false"})
			}
		},
	})
}
