package rules

import (
	"cmp"
	"reflect"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/policy"
)

// probe-identical
//
//	restricted: containers[*].livenessProbe, readinessProbe, and those of native sidecars
//	allowed:    different questions; the same one with more patience for liveness; no liveness probe
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "probe-identical", Factor: "IX", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title:   "Liveness and readiness ask the same, equally often",
			Why:     "Not ready means: send me nothing for a while. Not alive means: restart me. Where both are one question, a pod that is only busy is restarted at the very moment at which it should be left in peace; the others get its load and follow.",
			Fix:     "Let liveness ask only whether the process still answers at all, or leave it out: a process that ends is restarted anyway. Or give it a higher failureThreshold.",
			Allowed: "No liveness probe; the same question where liveness is more patient (periodSeconds times failureThreshold); Jobs.",
			Example: "readinessProbe:\n  httpGet: {path: /ready, port: 8080}\nlivenessProbe:\n  httpGet: {path: /live, port: 8080}\n  failureThreshold: 6\nports:\n- {name: http, containerPort: 8080}\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			for _, c := range s.Containers(Main, Sidecar) {
				live, ready := c.LivenessProbe, c.ReadinessProbe
				if live != nil && ready != nil && patience(live) <= patience(ready) && reflect.DeepEqual(live.ProbeHandler, ready.ProbeHandler) {
					report(c.At(".livenessProbe", "asks what readinessProbe asks, with no more patience: a container that is only busy is restarted", "ask less, raise failureThreshold, or leave it out"))
				}
			}
		},
	})
}

// patience is for how many seconds a probe may fail before it counts.
func patience(p *corev1.Probe) int64 {
	return int64(cmp.Or(p.PeriodSeconds, 10)) * int64(cmp.Or(p.FailureThreshold, 3)) // the API server's defaults
}
