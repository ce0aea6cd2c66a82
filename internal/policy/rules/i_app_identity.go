package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

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
		RuleInfo: policy.RuleInfo{ID: "app-identity", Factor: "I", Levels: policy.At(policy.Warn), Params: appIdentityParams{}, Repair: policy.OnRequest},
		Page: policy.Page{
			Title:   "The pod does not say which app it is",
			Why:     "One codebase is one app, run in many places. Without its name on the pod nobody can tell whose pod it is: dashboards, log queries, cost reports and network policies all select by label.",
			Fix:     "Put app.kubernetes.io/name on the pod template. The selector of a Deployment can't be changed and need not be: more labels than it asks for are fine. Clusters with a convention of their own name its keys in the policy (params: labels).",
			Allowed: "A key that the policy's params name, such as app or k8s-app.",
			Repair:  "The label app.kubernetes.io/name is added: after the label app or k8s-app, else after the workload. It is on request because a Service or NetworkPolicy that selects by it selects the pod then, too.",
			Example: "metadata:\n  labels:\n    app.kubernetes.io/name: shop\n",
		},
		Check: checkAppIdentity,
		Mend:  mendAppIdentity,
	})
}

func checkAppIdentity(s *Subject, report func(Violation)) {
	keys := identityKeys(s)
	if s.labelled(keys) {
		return
	}
	name := cmp.Or(s.Pod.Labels["app"], s.Pod.Labels["k8s-app"], s.Workload.Name, "<app>")
	report(Violation{Path: "metadata.labels", Message: "no " + strings.Join(keys, " or "), Fix: "name the app: " + nameLabel + ": " + name})
}

func mendAppIdentity(s *Subject, done func(Repaired)) {
	if s.labelled(identityKeys(s)) {
		return
	}
	for _, known := range []struct{ name, from string }{{s.Pod.Labels["app"], "the label app"}, {s.Pod.Labels["k8s-app"], "the label k8s-app"}, {s.appOfWorkload(), s.Workload.String()}} {
		if known.name != "" && len(validation.IsValidLabelValue(known.name)) == 0 {
			s.edit.SetLabel(nameLabel, known.name)
			done(Repaired{Path: "metadata.labels", What: fmt.Sprintf("the label %s: %s is added, after %s", nameLabel, known.name, known.from)})
			return
		}
	}
}

func identityKeys(s *Subject) []string {
	return append([]string{nameLabel}, Params[appIdentityParams](s).Labels...)
}

// labelled says whether the pod has a label with one of the keys that is not empty.
func (s *Subject) labelled(keys []string) bool {
	return slices.ContainsFunc(keys, func(key string) bool { return s.Pod.Labels[key] != "" })
}

// appOfWorkload is the workload's name. A Job that a CronJob makes ends in the minute it was due, which no app is called after.
func (s *Subject) appOfWorkload() string {
	if cronJob, scheduled := s.Workload.CronJob(); scheduled {
		return cronJob.Name
	}
	return s.Workload.Name
}
