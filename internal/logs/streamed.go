package logs

import (
	corev1 "k8s.io/api/core/v1"
)

// TailContainer is the name of the native sidecar that streams log files.
const TailContainer = "twelvefold-tail"

// Streamed are the files that the pod's tail sidecar streams, by container, as the containers name them.
func Streamed(pod *corev1.Pod) map[string][]string {
	streamed := map[string][]string{}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if c.Name != TailContainer || c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			continue
		}
		plan, err := ParsePlan(envValue(c, PlanEnv))
		if err != nil {
			continue // not ours: it streams nothing
		}
		for _, f := range plan.Files {
			streamed[f.Container] = append(streamed[f.Container], f.Path)
		}
	}
	return streamed
}
