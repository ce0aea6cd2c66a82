package mutate

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/policy"
)

// Unresolved refuses references in the ephemeral containers of a pod, which runs already: nothing brings their secrets,
// and the text of a reference must not be taken for one.
func Unresolved(pod *corev1.Pod, effective *policy.Effective) (findings []policy.Finding) {
	settings := effective.Spec().KeyVault
	hosts := keyvault.Hosts{Cloud: settings.Cloud, Suffixes: settings.DNSSuffixes}
	for _, c := range pod.Spec.EphemeralContainers {
		for _, e := range c.Env {
			value := hosts.ParseValue(e.Value)
			if e.ValueFrom != nil || !value.HasReference() && len(value.Wrong) == 0 {
				continue
			}
			findings = append(findings, policy.Finding{Rule: "keyvault", Factor: "III", Level: policy.Deny, Container: c.Name,
				Path:    fmt.Sprintf("spec.ephemeralContainers[name=%q].env[name=%q].value", c.Name, e.Name),
				Message: "Key Vault references are not resolved in ephemeral containers", Fix: "leave it out; kubectl exec reaches the containers that have the secret"})
		}
	}
	return findings
}
