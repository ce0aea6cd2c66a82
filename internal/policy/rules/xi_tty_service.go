package rules

import (
	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/policy"
)

// tty-service
//
//	restricted: containers[*].tty, stdin
//	allowed:    pods that run to their end; ephemeral containers
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "tty-service", Factor: "XI", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title:   "A service has a terminal",
			Why:     "With a terminal stdout and stderr are one stream, each line ends in a carriage return, and programs colour what they print and ask questions: the collector gets escape codes instead of levels. An open stdin lets a program wait for input that nobody gives.",
			Fix:     "Remove tty and stdin. To look into a running pod, use kubectl exec -it or kubectl debug: they bring their own terminal.",
			Allowed: "Pods that run to their end (Jobs, restartPolicy Never or OnFailure), and containers of kubectl debug.",
			Example: "containers:\n- name: api\n  image: registry.example.com/api:1.4.2\n  # no tty, no stdin\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			if s.IsJob() || s.Pod.Spec.RestartPolicy == corev1.RestartPolicyNever || s.Pod.Spec.RestartPolicy == corev1.RestartPolicyOnFailure {
				return
			}
			for _, c := range s.Containers(Main, Sidecar) {
				switch {
				case c.TTY:
					report(c.At(".tty", "a service with a terminal logs escape codes and carriage returns", "remove tty, and stdin with it"))
				case c.Stdin:
					report(c.At(".stdin", "a service keeps stdin open, on which nobody writes", "remove stdin"))
				}
			}
		},
	})
}
