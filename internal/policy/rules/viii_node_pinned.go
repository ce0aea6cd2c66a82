package rules

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/policy"
)

// node-pinned
//
//	restricted: nodeName, nodeSelector, required nodeAffinity
//	allowed:    what the scheduler or the DaemonSet's controller wrote; pools, zones and other labels of several nodes
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "node-pinned", Factor: "VIII", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title:   "The pod runs on one node only",
			Why:     "More replicas don't fit there, and when the node is drained, upgraded or replaced, the pod waits for a name that never comes back: on AKS every upgrade of a pool brings new nodes. With nodeName nobody even asks whether there is room.",
			Fix:     "Select by what the node has, not by its name: an agent pool, a zone, a GPU. Data on the node's disk belongs in a PersistentVolumeClaim, whose volume knows its own node.",
			Allowed: "Pods of a DaemonSet, whose controller pins them; nodeName in a pod that has been scheduled; preferred affinities; a choice of several hostnames.",
			Example: "nodeSelector: {kubernetes.azure.com/agentpool: gpu}\n",
		},
		Check: checkNodePinned,
	})
}

func checkNodePinned(s *Subject, report func(Violation)) {
	const fix = "select by a label that several nodes have, such as kubernetes.azure.com/agentpool"
	spec := &s.Pod.Spec
	scheduled := slices.ContainsFunc(s.Pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodScheduled })
	if s.IsNodeAgent() {
		return
	}
	if spec.NodeName != "" && !scheduled {
		report(Violation{Path: "spec.nodeName", Message: fmt.Sprintf("only the node %q may run it, and the scheduler isn't asked", spec.NodeName), Fix: fix})
	}
	if name := spec.NodeSelector[corev1.LabelHostname]; name != "" {
		report(Violation{Path: fmt.Sprintf("spec.nodeSelector[%q]", corev1.LabelHostname), Message: fmt.Sprintf("only the node %q may run it", name), Fix: fix})
	}
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil || spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return
	}
	terms := spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	if len(terms) != 1 { // any of them will do
		return
	}
	for _, r := range slices.Concat(terms[0].MatchExpressions, terms[0].MatchFields) {
		if (r.Key == corev1.LabelHostname || r.Key == "metadata.name") && r.Operator == corev1.NodeSelectorOpIn && len(r.Values) == 1 {
			report(Violation{Path: "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution",
				Message: fmt.Sprintf("only the node %q may run it", r.Values[0]), Fix: fix})
		}
	}
}
