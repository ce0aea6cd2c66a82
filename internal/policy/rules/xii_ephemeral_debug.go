package rules

import "twelvefold.dev/internal/policy"

// ephemeral-debug
//
//	restricted: ephemeralContainers
//	allowed:    none
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "ephemeral-debug", Factor: "XII", Levels: policy.At(policy.Audit)},
		Page: policy.Page{
			Title:   "Somebody debugs a running pod",
			Why:     "kubectl debug is the right way to look into a pod. But from then on the pod is another one than its siblings: a container that stays until the pod ends, an image that is in no release, perhaps a file or a process that a person has changed. So it is written down.",
			Fix:     "Delete the pod when you are done, and its controller makes a clean one. To let nobody do it in a namespace, set the rule's level to deny there.",
			Example: "# look, then:\n# kubectl delete pod shop-7d4b9\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			for _, c := range s.Containers(Ephemeral) {
				report(c.At("", "a debug container was added to the running pod", "delete the pod when done"))
			}
		},
	})
}
