package rules

import "twelvefold.dev/internal/policy"

// host-network
//
//	restricted: hostNetwork
//	allowed:    false, unset
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "host-network", Factor: "VII", Levels: policy.At(policy.Deny)},
		Page: policy.Page{
			Title:   "The pod uses its node's network",
			Why:     "Its ports are the node's: a second replica on the same node does not start, and a rollout waits for a free node. NetworkPolicies no longer apply, and the pod reaches whatever listens on the node's loopback and the node's identity at the metadata endpoint.",
			Fix:     "Remove hostNetwork and put a Service (type LoadBalancer for outside traffic) in front of the pod.",
			Allowed: "Jobs. Pods of a DaemonSet are node agents: they are only audited, and denied by the profile strict unless exempted.",
			Example: "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec:\n  selector: {app.kubernetes.io/name: shop}\n  ports: [{port: 80, targetPort: http}]\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			if s.Pod.Spec.HostNetwork {
				report(Violation{Path: "spec.hostNetwork", Levels: s.levels(),
					Message: "the pod uses its node's network", Fix: "remove it and reach the pod through a Service"})
			}
		},
	})
}
