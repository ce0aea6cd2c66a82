package admission

import (
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"

	"twelvefold.dev/internal/review"
)

// Metrics count what the webhooks decide. Dry-run requests are not decisions and are not counted.
type Metrics struct {
	decisions *prometheus.CounterVec
	findings  *prometheus.CounterVec
	repairs   *prometheus.CounterVec
	latency   *prometheus.HistogramVec
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "twelvefold_decisions_total",
			Help: "Requests by webhook and decision: allowed, mutated, denied, error.",
		}, []string{"webhook", "decision"}),
		findings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "twelvefold_findings_total",
			Help: "Findings by webhook, rule and level.",
		}, []string{"webhook", "rule", "level"}),
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "twelvefold_repairs_total",
			Help: "Pods that were repaired, by the rule that would have found something.",
		}, []string{"rule"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "twelvefold_request_duration_seconds",
			Help:    "Time to answer a request, from its first byte.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5},
		}, []string{"webhook"}),
	}
	registry.MustRegister(m.decisions, m.findings, m.repairs, m.latency)
	return m
}

// answered counts a decision.
func (m *Metrics) answered(webhook string, request *admissionv1.AdmissionRequest, response *admissionv1.AdmissionResponse) {
	decision := "allowed"
	switch {
	case dryRun(request):
		return
	case !response.Allowed:
		decision = "denied"
	case len(response.Patch) > 0:
		decision = "mutated"
	}
	m.decisions.WithLabelValues(webhook, decision).Inc()
}

// found counts what there is to say about an object, and what was mended in it.
func (m *Metrics) found(webhook string, request *admissionv1.AdmissionRequest, v review.Verdict) {
	if dryRun(request) {
		return
	}
	for _, f := range v.Findings {
		m.findings.WithLabelValues(webhook, f.Rule, f.Level.String()).Inc()
	}
	if webhook == "mutate" { // the other one sees templates, whose pods are mended later
		for _, rule := range v.Repaired {
			m.repairs.WithLabelValues(rule).Inc()
		}
	}
}

func dryRun(request *admissionv1.AdmissionRequest) bool {
	return request.DryRun != nil && *request.DryRun
}
