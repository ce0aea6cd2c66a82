package mutate

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"twelvefold.dev/internal/podpatch"
)

const (
	metricsAnnotation  = "twelvefold.dev/metrics"
	exporterAnnotation = "twelvefold.dev/exporter"

	scrapeAnnotation = "prometheus.io/scrape"
	portAnnotation   = "prometheus.io/port"
	pathAnnotation   = "prometheus.io/path"
)

func init() {
	register(Mutator{Name: "metrics", Factor: "XI", Order: 30, Page: metricsPage, Mutate: metrics})
}

func metrics(c *Context) {
	if !c.prometheusReads() {
		return
	}
	if c.metricsDone() {
		for _, entry := range c.before.Skipped["metrics"] {
			c.Skip("%s", entry)
		}
		c.warnOfMore()
		return
	}
	if ready := c.prepare(c.detect()); len(ready) > 0 {
		c.publish(ready)
	}
}

// publish makes the endpoints known to whom the policy says.
func (c *Context) publish(ready []endpoint) {
	c.complete(ready[0].port, ready[0].path)
	c.warnOfMore()
}

// warnOfMore warns where the annotations ask for more than the one endpoint that is scraped.
func (c *Context) warnOfMore() {
	text, set := c.Annotation(metricsAnnotation)
	if !set {
		return
	}
	asked, err := parseEndpoints(text)
	port, _ := c.Annotation(portAnnotation)
	if err != nil || port != strconv.Itoa(int(asked[0].port)) {
		return
	}
	const fix = "keep the one that matters: this version doesn't merge several"
	if len(asked) > 1 {
		c.Warn(annotationField(metricsAnnotation), "", fmt.Sprintf("%d endpoints are named, and prometheus.io/port holds one: only port %s is scraped", len(asked), port), fix)
	}
	if name, set := c.Annotation(exporterAnnotation); set && name != "none" {
		c.Warn(annotationField(exporterAnnotation), "", fmt.Sprintf("prometheus.io/port holds one endpoint, and %s names it: the exporter is not injected", metricsAnnotation), fix)
	}
}

var exporterSidecar = regexp.MustCompile(`\btwelvefold-[-a-z0-9]+-exporter\b`)

// metricsDone says whether this was done when the pod was seen before, so that the annotations on it are ours. The
// status alone is not believed: it may have been copied from another pod.
func (c *Context) metricsDone() bool {
	if _, annotated := c.Annotation(portAnnotation); !annotated {
		return false
	}
	for _, entry := range c.DoneBefore() {
		if name := exporterSidecar.FindString(entry); name != "" && !slices.ContainsFunc(c.Edit.AllContainers(), func(p *podpatch.Container) bool { return p.Name() == name }) {
			return false
		}
	}
	return len(c.DoneBefore()) > 0
}

// prometheusReads says whether the policy names a consumer that reads prometheus.io annotations.
func (c *Context) prometheusReads() bool {
	consumers := c.Policy.Spec().Metrics.Consumers
	reads := len(consumers) == 0
	for _, consumer := range consumers {
		switch consumer {
		case "prometheus":
			reads = true
		case "azure":
			reads = true
			if _, set := c.Annotation("prometheus.io/scheme"); set {
				c.Warn(annotationField("prometheus.io/scheme"), "", "Azure Monitor doesn't read it and scrapes over http", "serve metrics over http")
			}
		default:
			c.Skip("consumer %s: this version writes prometheus.io annotations only", consumer)
		}
	}
	return reads
}

// complete writes those of the three annotations that the pod lacks: a scrape without a port makes Prometheus try every
// port of every container.
func (c *Context) complete(port int32, path string) {
	for _, a := range [][2]string{{scrapeAnnotation, "true"}, {portAnnotation, strconv.Itoa(int(port))}, {pathAnnotation, path}} {
		if _, set := c.Annotation(a[0]); !set {
			c.Edit.SetAnnotation(a[0], a[1])
		}
	}
}

func annotationField(key string) string { return fmt.Sprintf("metadata.annotations[%q]", key) }

// quoted is a user's text as messages and the status show it.
func quoted(text string) string { return shown(strconv.Quote(text)) }
