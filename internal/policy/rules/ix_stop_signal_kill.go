package rules

import (
	"twelvefold.dev/internal/policy"
)

// stop-signal-kill
//
//	restricted: containers[*].lifecycle.stopSignal, and that of initContainers
//	allowed:    every other signal
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "stop-signal-kill", Factor: "IX", Levels: policy.At(policy.Deny)},
		Page: policy.Page{
			Title:   "A container is stopped by SIGKILL",
			Why:     "No process can handle SIGKILL: requests are cut off, transactions stay open, locks and leases are held until they expire. Every rollout, every drain and every scale-down does it.",
			Fix:     "Leave stopSignal out (SIGTERM), or name the signal by which the program ends in order: SIGQUIT for nginx and php-fpm, SIGINT for PostgreSQL, SIGWINCH for httpd.",
			Allowed: "Every signal but SIGKILL.",
			Example: "os: {name: linux}\ncontainers:\n- name: web\n  image: nginx:1.29.3\n  lifecycle: {stopSignal: SIGQUIT}\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			for _, c := range s.Containers(Init, Sidecar, Main) {
				if c.Lifecycle != nil && c.Lifecycle.StopSignal != nil && *c.Lifecycle.StopSignal == "SIGKILL" {
					report(c.At(".lifecycle.stopSignal", "SIGKILL ends the process before it can finish anything", "leave it out, or write stopSignal: SIGTERM"))
				}
			}
		},
	})
}
