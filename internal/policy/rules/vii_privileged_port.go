package rules

import (
	"fmt"

	"twelvefold.dev/internal/policy"
)

// privileged-port
//
//	restricted: containers[*].ports[*].containerPort, and those of native sidecars
//	allowed:    1024 and above; Windows, which knows no such ports
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "privileged-port", Factor: "VII", Levels: policy.At(policy.Audit)},
		Page: policy.Page{
			Title:   "A container listens on a port below 1024",
			Why:     "In many runtimes only root, or a process with the capability NET_BIND_SERVICE, may listen there. The image then starts as root, or fails on the cluster that forbids it.",
			Fix:     "Let the app take its port from the environment, such as PORT=8080, and let the Service listen on 80 or 443.",
			Allowed: "Ports from 1024 on; Jobs; Windows pods. Since containerd 2.0 and Docker 20.10 containers may listen on any port, so it is only audited.",
			Example: "ports:\n- {name: http, containerPort: 8080}   # the Service: port: 80, targetPort: http\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			if onWindows(s.Pod) {
				return
			}
			for _, c := range s.Containers(Main, Sidecar) {
				for i, p := range c.Ports {
					if p.ContainerPort > 0 && p.ContainerPort < 1024 {
						report(c.At(fmt.Sprintf(".ports[%d].containerPort", i), fmt.Sprintf("port %d is for privileged processes", p.ContainerPort),
							"listen on a port from 1024 on, and let the Service map it"))
					}
				}
			}
		},
	})
}
