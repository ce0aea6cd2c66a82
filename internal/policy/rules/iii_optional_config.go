package rules

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/policy"
)

// optional-config
//
//	restricted: env[*].valueFrom and envFrom[*] of all containers; the volumes that they mount
//	allowed:    optional: false, unset; volumes of injected sidecars
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "optional-config", Factor: "III", Levels: policy.At(policy.Audit)},
		Page: policy.Page{
			Title:   "Config that may be missing",
			Why:     "With optional: true a pod starts without its config: after a typo in a name, in a new namespace, or before the Secret is there. Then the app runs by its defaults, and nobody is told. Without it the pod waits, and says for what.",
			Fix:     "Remove optional, and give each environment the object, be it empty.",
			Allowed: "What only injected sidecars read.",
			Example: "envFrom:\n- configMapRef: {name: shop}\n",
		},
		Check: checkOptionalConfig,
	})
}

func checkOptionalConfig(s *Subject, report func(Violation)) {
	const fix = "remove optional: true"
	for _, c := range s.Containers() {
		for _, e := range c.Env {
			if from := e.ValueFrom; from != nil && (from.ConfigMapKeyRef != nil && isTrue(from.ConfigMapKeyRef.Optional) || from.SecretKeyRef != nil && isTrue(from.SecretKeyRef.Optional)) {
				report(Violation{Path: c.EnvPath(e.Name), Container: c.Name, Message: "the variable may be missing", Fix: fix})
			}
		}
		for i, from := range c.EnvFrom {
			if from.ConfigMapRef != nil && isTrue(from.ConfigMapRef.Optional) || from.SecretRef != nil && isTrue(from.SecretRef.Optional) {
				report(c.At(fmt.Sprintf(".envFrom[%d]", i), "its variables may be missing", fix))
			}
		}
	}
	for i := range s.Pod.Spec.Volumes {
		if v := &s.Pod.Spec.Volumes[i]; isOptional(v) && s.mounts(v.Name) {
			report(Violation{Path: fmt.Sprintf("spec.volumes[name=%q]", v.Name), Message: "its files may be missing", Fix: fix})
		}
	}
}

// isOptional says whether a source of a volume may be missing.
func isOptional(v *corev1.Volume) bool {
	if v.ConfigMap != nil && isTrue(v.ConfigMap.Optional) || v.Secret != nil && isTrue(v.Secret.Optional) {
		return true
	}
	if v.Projected == nil {
		return false
	}
	for _, source := range v.Projected.Sources {
		if source.ConfigMap != nil && isTrue(source.ConfigMap.Optional) || source.Secret != nil && isTrue(source.Secret.Optional) {
			return true
		}
	}
	return false
}

func isTrue(b *bool) bool { return b != nil && *b }
