package mutate

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/envfile"
	"twelvefold.dev/internal/policy"
)

// Unresolved refuses the references that are left in a pod after mutation, for the text of a reference must not be taken
// for a secret: those of ephemeral containers, whose pod runs already, and those that came when no mutation followed. The
// API server calls a mutating webhook once more after others have changed the pod, and not a third time.
func Unresolved(pod *corev1.Pod, effective *policy.Effective) []policy.Finding {
	settings := effective.Spec().KeyVault
	u := unresolved{hosts: keyvault.Hosts{Cloud: settings.Cloud, Suffixes: settings.DNSSuffixes}}
	const late, lateFix = "this Key Vault reference was added after the last mutation, or to a container that is left alone",
		"create the pod again, let the webhook that adds it run before Twelvefold, or leave it out"
	for _, c := range pod.Spec.InitContainers {
		u.find("initContainers", c.Name, c.Env, late, lateFix)
	}
	for _, c := range pod.Spec.Containers {
		u.find("containers", c.Name, c.Env, late, lateFix)
	}
	if slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == binVolume }) {
		u.findUnwrapped("initContainers", pod.Spec.InitContainers, effective)
		u.findUnwrapped("containers", pod.Spec.Containers, effective)
	}
	for _, c := range pod.Spec.EphemeralContainers {
		u.find("ephemeralContainers", c.Name, c.Env, "Key Vault references are not resolved in ephemeral containers",
			"leave it out; kubectl exec reaches the containers that have the secret")
	}
	return u.findings
}

// findUnwrapped finds containers whose variables wait for the agent, which does not start them: another command was given
// to them after the last mutation.
func (u *unresolved) findUnwrapped(list string, containers []corev1.Container, effective *policy.Effective) {
	for _, c := range containers {
		if effective.Ignored(c.Name) || slices.Contains(c.Command, keyvault.AgentPath) {
			continue
		}
		if slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return envfile.HasPlaceholder(e.Value) }) {
			u.findings = append(u.findings, policy.Finding{Rule: "keyvault", Factor: "III", Level: policy.Deny, Container: c.Name,
				Path:    fmt.Sprintf("spec.%s[name=%q].command", list, c.Name),
				Message: "its secrets come by exec, but something else was made its command after the last mutation",
				Fix:     "create the pod again, or let the webhook that changes it run before Twelvefold"})
		}
	}
}

type unresolved struct {
	hosts    keyvault.Hosts
	findings []policy.Finding
}

func (u *unresolved) find(list, container string, env []corev1.EnvVar, message, fix string) {
	for _, e := range env {
		if e.ValueFrom != nil || !u.hosts.IsReference(e.Value) {
			continue
		}
		u.findings = append(u.findings, policy.Finding{Rule: "keyvault", Factor: "III", Level: policy.Deny, Container: container,
			Path: fmt.Sprintf("spec.%s[name=%q].env[name=%q].value", list, container, e.Name), Message: message, Fix: fix})
	}
}
