package scan

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxSeries bounds the gauge of findings. Where more would come, it counts over all namespaces, under an empty one.
const maxSeries = 5000

var (
	findingsDesc = prometheus.NewDesc("twelvefold_scan_findings",
		"Findings in workloads that run, as of the last scan, by namespace, rule and level.", []string{"namespace", "rule", "level"}, nil)
	workloadsDesc = prometheus.NewDesc("twelvefold_scan_workloads", "Workloads that the last scan looked at.", nil, nil)
	timeDesc      = prometheus.NewDesc("twelvefold_scan_timestamp_seconds", "When the last scan ended, in seconds since 1970.", nil, nil)
	failedDesc    = prometheus.NewDesc("twelvefold_scan_failed_namespaces", "Namespaces that the last scan could not read.", nil, nil)
)

// Metrics are what the last pass has come to. They are there in the replica that scans, and in no other.
type Metrics struct {
	mu     sync.Mutex
	at     time.Time // zero: no pass
	counts map[string]counts
	failed int
}

// counts are those of one namespace.
type counts struct {
	workloads int
	findings  map[finding]int
}

type finding struct{ rule, level string }

func count(workloads []workload) counts {
	c := counts{workloads: len(workloads), findings: map[finding]int{}}
	for _, w := range workloads {
		for _, f := range w.findings {
			c.findings[finding{f.Rule, f.Level.String()}]++
		}
	}
	return c
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{}
	registry.MustRegister(m)
	return m
}

// publish replaces what the last pass said, but for namespaces that this one could not read.
func (m *Metrics) publish(p pass, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for namespace, before := range m.counts {
		if slices.Contains(p.failed, namespace) {
			p.counts[namespace] = before
		}
	}
	m.counts, m.failed, m.at = p.counts, len(p.failed), now
}

func (m *Metrics) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts, m.failed, m.at = nil, 0, time.Time{}
}

// Describe implements [prometheus.Collector].
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{findingsDesc, workloadsDesc, timeDesc, failedDesc} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at.IsZero() {
		return
	}
	gauge := func(d *prometheus.Desc, value int, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
	}
	series, workloads := 0, 0
	for _, c := range m.counts {
		series += len(c.findings)
		workloads += c.workloads
	}
	sums := map[finding]int{}
	for namespace, c := range m.counts {
		for f, n := range c.findings {
			if series > maxSeries {
				sums[f] += n
			} else {
				gauge(findingsDesc, n, namespace, f.rule, f.level)
			}
		}
	}
	for f, n := range sums {
		gauge(findingsDesc, n, "", f.rule, f.level)
	}
	gauge(workloadsDesc, workloads)
	gauge(failedDesc, m.failed)
	gauge(timeDesc, int(m.at.Unix()))
}
