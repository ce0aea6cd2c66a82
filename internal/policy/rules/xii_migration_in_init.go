package rules

import "twelvefold.dev/internal/policy"

const migrationExample = "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: migrate\n  annotations: {helm.sh/hook: pre-upgrade}\nspec:\n  activeDeadlineSeconds: 600\n  template:\n    spec:\n      restartPolicy: Never\n      containers:\n      - {name: migrate, image: \"contoso.azurecr.io/shop:1.4.2\", command: [\"bundle\", \"exec\", \"rake\", \"db:migrate\"]}\n"

// migration-in-init
//
//	restricted: initContainers[*].command, args
//	allowed:    Jobs; StatefulSets of one replica
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "migration-in-init", Factor: "XII", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title:   "An init container migrates the database",
			Why:     "It runs in every replica and at every restart: a scale-up at the busiest hour migrates, a rollback starts with the old migrations, several replicas migrate at once and lock each other out. If it fails, no replica starts, and the old ones are already going.",
			Fix:     "Run the migration once for each release, as a Job of the same image before the rollout (Helm's pre-upgrade hook, Argo CD's PreSync), and keep the schema such that the old release can work with it too.",
			Allowed: "Jobs; StatefulSets of one replica, in which nobody else migrates; what only looks (rake db:version, flyway info, alembic current, manage.py migrate --check).",
			Example: migrationExample,
		},
		Check: func(s *Subject, report func(Violation)) {
			if s.IsJob() || s.alone() {
				return
			}
			for _, c := range s.Containers(Init) {
				if what := c.migration(); what != "" {
					report(c.At(c.argvField(), what+" in every replica, at every start", "run it once for each release, as a Job of the same image"))
				}
			}
		},
	})
}
