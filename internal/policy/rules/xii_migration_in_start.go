package rules

import "twelvefold.dev/internal/policy"

// migration-in-start
//
//	restricted: containers[*].command, args
//	allowed:    Jobs; StatefulSets of one replica; pods that run to their end
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "migration-in-start", Factor: "XII", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title:   "The app migrates the database before it starts",
			Why:     "Every replica does it at every start, several at once. A start takes as long as the migration, which liveness probes may not wait for: they restart the container in the middle of it. And the app's own credentials must be allowed to change the schema.",
			Fix:     "Run the migration once for each release, as a Job of the same image before the rollout (Helm's pre-upgrade hook, Argo CD's PreSync).",
			Allowed: "Jobs, and pods that run to their end; StatefulSets of one replica, in which nobody else migrates.",
			Example: migrationExample,
		},
		Check: func(s *Subject, report func(Violation)) {
			if s.endsByItself() || s.alone() {
				return
			}
			for _, c := range s.Containers(Main) {
				if what := c.migration(); what != "" {
					report(c.At(c.argvField(), what+" in every replica, at every start", "run it once for each release, as a Job of the same image"))
				}
			}
		},
	})
}
