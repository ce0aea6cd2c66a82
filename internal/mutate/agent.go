package mutate

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// agentUser is the user of our own containers. It is a number in the spec, too: the kubelet can't check runAsNonRoot
// against an image that names its user.
const agentUser = 65532

// restricted is a security context that Pod Security Standard restricted lets pass.
func restricted() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		RunAsNonRoot:             new(true),
		RunAsUser:                new(int64(agentUser)),
		ReadOnlyRootFilesystem:   new(true),
		AllowPrivilegeEscalation: new(false),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

// agentContainer is a container that runs our agent.
func agentContainer(c *Context, name string, args ...string) corev1.Container {
	return corev1.Container{
		Name:                     name,
		Image:                    c.Facts.AgentImage,
		Args:                     args,
		Resources:                smallResources(),
		SecurityContext:          restricted(),
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
}

// smallResources are set on every container we add: one without requests breaks autoscaling by utilisation
// (linkerd2#1480, dapr#2147), one without limits is refused where a ResourceQuota counts them.
func smallResources() corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
	}
}
