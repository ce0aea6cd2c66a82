package rules

import (
	"cmp"
	"strings"

	"twelvefold.dev/internal/policy"
)

// appIdentityParams are the parameters of app-identity.
type appIdentityParams struct {
	Labels []string `yaml:"labels"` // keys that name the app as well as app.kubernetes.io/name does
}

const nameLabel = "app.kubernetes.io/name"

// app-identity
//
//	restricted: metadata.labels
//	allowed:    app.kubernetes.io/name or a configured key, not empty
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "app-identity", Factor: "I", Levels: policy.At(policy.Warn), Params: appIdentityParams{}},
		Page: policy.Page{
			Title:   "The pod does not say which app it is",
			Why:     "One codebase is one app, run in many places. Without its name on the pod nobody can tell whose pod it is: dashboards, log queries, cost reports and network policies all select by label.",
			Fix:     "Put app.kubernetes.io/name on the pod template. The selector of a Deployment can't be changed and need not be: more labels than it asks for are fine. Clusters with a convention of their own name its keys in the policy (params: labels).",
			Allowed: "A key that the policy's params name, such as app or k8s-app.",
			Example: "metadata:\n  labels:\n    app.kubernetes.io/name: shop\n",
		},
		Check: checkAppIdentity,
	})
}

func checkAppIdentity(s *Subject, report func(Violation)) {
	labels := s.Pod.Labels
	keys := append([]string{nameLabel}, Params[appIdentityParams](s).Labels...)
	for _, key := range keys {
		if labels[key] != "" {
			return
		}
	}
	name := cmp.Or(labels["app"], labels["k8s-app"], s.Workload.Name, "<app>")
	report(Violation{Path: "metadata.labels", Message: "no " + strings.Join(keys, " or "), Fix: "name the app: " + nameLabel + ": " + name})
}
