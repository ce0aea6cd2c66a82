package rules

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"twelvefold.dev/internal/policy"
)

// bare-pod
//
//	restricted: metadata.ownerReferences
//	allowed:    a controller that really made the pod; requesters that the policy allows; Helm's tests
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "bare-pod", Factor: "VIII", Levels: policy.Levels{Baseline: policy.Warn, Strict: policy.Deny}},
		Page: policy.Page{
			Title:   "A pod without a controller",
			Why:     "Nobody replaces it: when its node is drained, upgraded or lost, the pod is gone for good. It can't be scaled, rolled out or rolled back.",
			Fix:     "Make a Deployment, StatefulSet or Job of it. A tool that makes pods by design (a CI runner, Airflow, Spark) belongs in the policy: spec.allowedRequesters takes the user names of such service accounts, as globs.",
			Allowed: "Pods that a Kubernetes controller asks for; pods of an operator (its service account asks, and its own resource is the controller) are only audited; Helm's test hooks. An ownerReference alone proves nothing: whoever may create pods may write one.",
			Example: "# in the policy\nspec:\n  allowedRequesters: [\"system:serviceaccount:ci:gitlab-runner\"]\n",
		},
		Check: checkBarePod,
	})
}

func checkBarePod(s *Subject, report func(Violation)) {
	if s.Workload.Kind != "" || s.Facts.Template || s.Facts.RequestedByController(s.Policy.AllowedRequesters()) || isHelmTest(s.Pod.Annotations) {
		return
	}
	v := Violation{Path: "metadata.ownerReferences", Message: "no controller made this pod, so nothing replaces it",
		Fix: "make it a Deployment, StatefulSet or Job, or name who makes it in the policy's allowedRequesters"}
	if owner := metav1.GetControllerOf(s.Pod); owner != nil {
		v.Message = "its ownerReference names a controller, but another asks for the pod, so nothing may replace it"
		if strings.HasPrefix(s.Facts.Requester, "system:serviceaccount:") && isCustom(owner.APIVersion) {
			v.Max = policy.Audit // an operator, most likely
		}
	}
	report(v)
}

func isHelmTest(annotations map[string]string) bool {
	hooks := strings.Split(annotations["helm.sh/hook"], ",")
	return slices.ContainsFunc(hooks, func(h string) bool {
		return slices.Contains([]string{"test", "test-success", "test-failure"}, strings.TrimSpace(h))
	})
}

// isCustom says whether an API group is none of Kubernetes' own: apps/v1, batch/v1, v1, *.k8s.io.
func isCustom(apiVersion string) bool {
	group, _, hasGroup := strings.Cut(apiVersion, "/")
	return hasGroup && strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io")
}
