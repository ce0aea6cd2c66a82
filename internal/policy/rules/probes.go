package rules

import corev1 "k8s.io/api/core/v1"

// namedProbe is a probe and the field of the container in which it stands.
type namedProbe struct {
	field string
	probe *corev1.Probe
}

// probes are those that the container has.
func (c Container) probes() []namedProbe {
	var some []namedProbe
	for _, p := range []namedProbe{{".startupProbe", c.StartupProbe}, {".livenessProbe", c.LivenessProbe}, {".readinessProbe", c.ReadinessProbe}} {
		if p.probe != nil {
			some = append(some, p)
		}
	}
	return some
}
