package rollout

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what the controller does.
type Metrics struct {
	rollouts *prometheus.CounterVec
	checks   *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		rollouts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "twelvefold_rollouts_total",
			Help: "Workloads whose secrets have changed, by what came of it: started, failed.",
		}, []string{"result"}),
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "twelvefold_rollout_checks_total",
			Help: "Questions to Key Vault for the newest version of an object, by what came of them: known, unknown.",
		}, []string{"result"}),
	}
	registry.MustRegister(m.rollouts, m.checks)
	return m
}
