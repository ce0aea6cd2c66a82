package rules

import (
	"fmt"

	"twelvefold.dev/internal/policy"
)

// host-port
//
//	restricted: containers[*].ports[*].hostPort, and those of initContainers
//	allowed:    0, unset; what hostNetwork implies
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "host-port", Factor: "VII", Levels: policy.At(policy.Deny)},
		Page: policy.Page{
			Title:   "A container takes a port of its node",
			Why:     "A node has each port once: no two replicas fit on one node, a rollout with surge waits for a free one, and clients must know on which node the pod runs. It also passes by the NetworkPolicies of some network plugins.",
			Fix:     "Remove hostPort and put a Service in front of the pod.",
			Allowed: "Jobs; pods with hostNetwork, where the API server sets hostPort by itself (host-network reports those). Pods of a DaemonSet are node agents: they are only audited, and denied by the profile strict unless exempted.",
			Example: "ports:\n- {name: http, containerPort: 8080}   # no hostPort\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			if s.Pod.Spec.HostNetwork {
				return
			}
			for _, c := range s.Containers() {
				for i, p := range c.Ports {
					if p.HostPort != 0 {
						v := c.At(fmt.Sprintf(".ports[%d].hostPort", i),
							fmt.Sprintf("takes port %d of the node", p.HostPort), "remove hostPort and reach the pod through a Service")
						v.Levels = s.levels()
						report(v)
					}
				}
			}
		},
	})
}
