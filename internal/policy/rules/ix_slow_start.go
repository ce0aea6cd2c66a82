package rules

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/policy"
)

// slowStartParams are the parameters of slow-start.
type slowStartParams struct {
	Budget int32 `yaml:"budget"` // seconds that a startup probe may take in all
	Delay  int32 `yaml:"delay"`  // seconds that a probe may wait before it asks for the first time
}

// slow-start
//
//	restricted: containers[*].startupProbe, and initialDelaySeconds of all probes; also of native sidecars
//	allowed:    up to 300 s in all, 60 s before the first question; Jobs
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "slow-start", Factor: "IX", Levels: policy.At(policy.Warn), Params: slowStartParams{Budget: 300, Delay: 60}},
		Page: policy.Page{
			Title:   "The container is given minutes to start",
			Why:     "What takes minutes to start can't follow the load, and a drain or a crash takes as long to recover from. A long initialDelaySeconds makes every start that slow, also the quick ones.",
			Fix:     "Start faster: build caches and indexes before, load the rest later, migrate in a Job. Use a startupProbe instead of initialDelaySeconds: it asks from the first second on and is content as soon as the app answers.",
			Allowed: "Startup probes that wait 300 s at most (until the last of failureThreshold questions, periodSeconds apart, the first after initialDelaySeconds), delays of 60 s at most; the parameters budget and delay set other bounds. A liveness probe's delay holds up nothing and is only audited. Jobs.",
			Example: "ports:\n- {name: http, containerPort: 8080}\nstartupProbe:\n  httpGet: {path: /ready, port: http}\n  periodSeconds: 2\n  failureThreshold: 60\nreadinessProbe:\n  httpGet: {path: /ready, port: http}\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			params := Params[slowStartParams](s)
			for _, c := range s.Containers(Main, Sidecar) {
				if p := c.StartupProbe; p != nil {
					if budget := startBudget(p); budget > int64(params.Budget) {
						report(c.At(".startupProbe", fmt.Sprintf("gives %d s to start; %d are much", budget, params.Budget), "start faster, and lower failureThreshold"))
						continue
					}
				}
				for _, p := range c.probes() {
					delay := p.probe.InitialDelaySeconds
					if delay <= params.Delay {
						continue
					}
					v := c.At(p.field+".initialDelaySeconds", fmt.Sprintf("every start takes %d s at least", delay), "leave it out and add a startupProbe, which asks at once and goes on asking")
					if p.probe == c.LivenessProbe {
						v.Message, v.Max = fmt.Sprintf("a start that hangs is seen after %d s at the earliest", delay), policy.Audit
					}
					report(v)
				}
			}
		},
	})
}

// startBudget is for how many seconds the kubelet lets a container start: the first question is asked after the delay,
// and the last that may fail when failureThreshold less one periods have passed.
func startBudget(p *corev1.Probe) int64 {
	period := int64(cmp.Or(p.PeriodSeconds, 10)) // the API server's default
	return int64(p.InitialDelaySeconds) + patience(p) - period
}
