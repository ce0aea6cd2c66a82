package mutate

import (
	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/podpatch"
)

// noSidecar is why the pod can have no native sidecar; empty if it can.
func (c *Context) noSidecar() string {
	spec := &c.Edit.Pod().Spec
	switch {
	case !c.Facts.Kubernetes.AtLeast(29):
		return "native sidecars need Kubernetes 1.29"
	case spec.OS != nil && spec.OS.Name == corev1.Windows, spec.NodeSelector[corev1.LabelOSStable] == "windows":
		return "the sidecar runs on Linux only"
	case spec.NodeSelector["type"] == "virtual-kubelet":
		return "virtual nodes run no native sidecars"
	}
	for _, t := range spec.Tolerations {
		if t.Key == "virtual-kubelet.io/provider" {
			return "the pod may run on a virtual node, which runs no native sidecars"
		}
	}
	return ""
}

// runs says whether a container keeps running: it is a main one, or a native sidecar.
func runs(p *podpatch.Container) bool {
	policy := p.Get().RestartPolicy
	return !p.Init() || policy != nil && *policy == corev1.ContainerRestartPolicyAlways
}

// shown is a text with a user's words in it, not longer than messages can show.
func shown(text string) string {
	if r := []rune(text); len(r) > 120 {
		return string(r[:120]) + "…"
	}
	return text
}
