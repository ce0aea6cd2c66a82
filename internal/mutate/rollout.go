package mutate

import (
	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/policy"
)

// PlanOf is what a mutated pod gets from Key Vault; nothing if it has no fetch container, or one that is not ours.
func PlanOf(pod *corev1.Pod) keyvault.Plan {
	for _, c := range pod.Spec.InitContainers {
		if c.Name != fetchName {
			continue
		}
		for _, e := range c.Env {
			if e.Name != keyvault.PlanEnv {
				continue
			}
			if plan, err := keyvault.ParsePlan(e.Value); err == nil {
				return plan
			}
		}
	}
	return keyvault.Plan{}
}

// RollsOut says whether the pod's workload shall be rolled out when a secret changes: its own word goes before the policy's.
func RollsOut(pod *corev1.Pod, kv policy.KeyVault) bool {
	if word, asked := pod.Annotations[rotationAnnotation]; asked {
		return word == rollout
	}
	return kv.Rotation == rollout
}
