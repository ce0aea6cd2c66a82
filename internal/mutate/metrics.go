package mutate

import (
	"fmt"
	"slices"
	"strconv"
)

const (
	metricsAnnotation  = "twelvefold.dev/metrics"
	exporterAnnotation = "twelvefold.dev/exporter"

	scrapeAnnotation = "prometheus.io/scrape"
	portAnnotation   = "prometheus.io/port"
	pathAnnotation   = "prometheus.io/path"
	schemeAnnotation = "prometheus.io/scheme"
)

func init() {
	register(Mutator{Name: "metrics", Factor: "XI", Order: 30, Page: metricsPage, Mutate: metrics})
}

// metrics finds the pod's endpoints, makes them ready, and tells the consumers of them. It does all of that again when
// it sees the pod again: what it wrote itself then counts as not there, so that what has joined the pod is added.
func metrics(c *Context) {
	if c.istioServes() {
		return
	}
	c.hideOurs()
	defer func() { c.ours = nil }()
	c.lintMetrics()
	mayBeLeft := c.reads("prometheus", "azure", "container-insights") && !c.ours[portAnnotation] // else it was annotated before
	others := slices.ContainsFunc(c.dialects(), func(d dialect) bool { return d != prometheusWords })
	if mayBeLeft && !others && c.leftToMonitor() {
		return
	}
	c.left = mayBeLeft && others && c.leftToMonitorToo()
	ready := c.prepare(c.besideMeshes(c.detect()))
	if mayBeLeft && !c.left && c.nowMonitored(ready) {
		if !others {
			return
		}
		c.left = true
	}
	if len(ready) > 0 {
		c.publish(ready)
	}
	c.lintPort()
}

// leftToMonitorToo is leftToMonitor where there are consumers who read no monitors: they are told all the same.
func (c *Context) leftToMonitorToo() bool {
	metrics, _ := c.Annotation(metricsAnnotation)
	if text, set := c.Annotation(scrapeAnnotation); metrics == "none" || set && text != "true" {
		return false
	}
	monitor := c.monitored()
	if monitor != "" {
		c.leaveTo(monitor)
	}
	return monitor != ""
}

func annotationField(key string) string { return fmt.Sprintf("metadata.annotations[%q]", key) }

// quoted is a user's text as messages and the status show it.
func quoted(text string) string { return shown(strconv.Quote(text)) }
