package catalog

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"twelvefold.dev/internal/keyvault/azure"
	"twelvefold.dev/internal/policy"
)

// Metrics count what is asked of the catalogue, and what it asks of Azure. A nil one counts nothing.
type Metrics struct {
	lookups *prometheus.CounterVec
	lists   *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "twelvefold_keyvault_lookups_total",
			Help: "Objects of vaults that pods refer to, by what was known of them: exists, missing, unknown.",
		}, []string{"state"}),
		lists: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "twelvefold_keyvault_lists_total",
			Help: "Lists of vaults' metadata, by result: ok, denied, unreachable, error.",
		}, []string{"result"}),
	}
	registry.MustRegister(m.lookups, m.lists)
	return m
}

func (m *Metrics) lookedUp(state policy.MetadataState) {
	if m != nil {
		m.lookups.WithLabelValues(map[policy.MetadataState]string{policy.Exists: "exists", policy.Missing: "missing", policy.Unknown: "unknown"}[state]).Inc()
	}
}

func (m *Metrics) listed(err error) {
	if m == nil {
		return
	}
	result := "ok"
	var failure *azure.Failure
	switch {
	case err == nil:
	case errors.As(err, &failure) && failure.Kind == azure.Denied:
		result = "denied"
	case errors.As(err, &failure) && failure.Kind == azure.Unreachable:
		result = "unreachable"
	default:
		result = "error"
	}
	m.lists.WithLabelValues(result).Inc()
}
