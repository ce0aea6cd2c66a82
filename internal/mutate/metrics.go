package mutate

import (
	"fmt"
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
	defer func() { c.ours, c.monitor = nil, "" }()
	c.lintMetrics()
	if !c.leftToMonitor() {
		if ready := c.prepare(c.besideMeshes(c.detect())); len(ready) > 0 && !c.nowLeft(ready) {
			c.publish(ready)
		}
	}
	c.lintPort()
}

func annotationField(key string) string { return fmt.Sprintf("metadata.annotations[%q]", key) }

// quoted is a user's text as messages and the status show it.
func quoted(text string) string { return shown(strconv.Quote(text)) }
