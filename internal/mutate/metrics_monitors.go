package mutate

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// leftToMonitor says whether a PodMonitor or ServiceMonitor scrapes the pod already, and nobody else is to be told of its
// endpoints. It gets no annotations, which would have it scraped twice, and of exporters and profiles those that were
// asked for: the monitor may mean their port. A pod that was annotated before the monitor came stays so.
func (c *Context) leftToMonitor() bool {
	if text, set := c.Annotation(metricsAnnotation); set && text == "none" {
		return false
	}
	if text, set := c.Annotation(scrapeAnnotation); set && text != "true" {
		return false
	}
	if c.annotatedBefore() {
		return false
	}
	if c.monitor = c.monitored(); c.monitor == "" {
		return false
	}
	if skipped := c.before.Skipped["metrics"]; len(c.dialects()) == 0 && slices.ContainsFunc(skipped, isLeft) {
		for _, entry := range skipped { // an exporter of ours changes what is found
			c.Skip("%s", entry)
		}
		c.warnOfMonitor()
	} else {
		c.leave()
	}
	if len(c.dialects()) > 0 {
		return false
	}
	asked, _ := c.askedEndpoints(exporters(&c.Policy.Spec().Metrics))
	c.prepare(c.besideMeshes(slices.DeleteFunc(asked, func(e endpoint) bool { return e.asked == "" })))
	return true
}

// nowLeft says whether a monitor scrapes what was made ready, though nothing of the pod as it was, and nobody else is to
// be told.
func (c *Context) nowLeft(ready []endpoint) bool {
	if c.monitor != "" || c.annotatedBefore() ||
		!slices.ContainsFunc(ready, func(e endpoint) bool { return e.exporter != nil }) {
		return false
	}
	if c.monitor = c.monitored(); c.monitor != "" {
		c.leave()
	}
	return len(c.dialects()) == 0
}

// annotatedBefore says whether annotations of ours are on the pod.
func (c *Context) annotatedBefore() bool {
	return c.ours[prometheusWords.port] || c.ours[grafanaWords.port] || c.ours[istioTargetsAnnotation]
}

// leftOut says whether a dialect's consumers scrape what monitors say. Datadog, the OpenTelemetry Collector and Container
// insights know no monitors.
func (c *Context) leftOut(d dialect) bool {
	return c.monitor != "" && (d == prometheusWords && c.reads("prometheus", "azure") || d == grafanaWords)
}

// monitored names the monitor that scrapes the team's containers or what was put beside them; empty if none does, or if no
// consumer reads monitors. One that scrapes a mesh's proxy only knows nothing of the app.
func (c *Context) monitored() string {
	if c.Facts.Monitored == nil || !c.reads("prometheus", "azure", "grafana") {
		return ""
	}
	foreign := func(container corev1.Container) bool {
		ours := strings.HasPrefix(container.Name, "twelvefold-") && len(container.Ports) > 0
		return c.Policy.Ignored(container.Name) && !ours
	}
	seen := *c.Edit.Pod()
	seen.Spec.Containers = slices.DeleteFunc(slices.Clone(seen.Spec.Containers), foreign)
	seen.Spec.InitContainers = slices.DeleteFunc(slices.Clone(seen.Spec.InitContainers), foreign)
	return c.Facts.Monitored(&seen)
}

// leave says that the pod is left to the monitor.
func (c *Context) leave() {
	kind, _, _ := strings.Cut(c.monitor, " ")
	c.Skip("%s scrapes it (%ss %s", c.monitor, kind, leftSuffix)
	c.warnOfMonitor()
}

const leftSuffix = "count before annotations)"

func isLeft(entry string) bool { return strings.HasSuffix(entry, leftSuffix) }

// warnOfMonitor warns where the pod's annotations and the monitor ask for two scrapes.
func (c *Context) warnOfMonitor() {
	if _, set := c.Annotation(scrapeAnnotation); set {
		c.Warn(annotationField(scrapeAnnotation), "", fmt.Sprintf("%s scrapes the pod too: its metrics come twice", c.monitor),
			"remove the prometheus.io annotations, or take the pod out of the monitor's selector")
	}
	if _, set := c.Annotation(metricsAnnotation); set {
		c.Warn(annotationField(metricsAnnotation), "", fmt.Sprintf("%s scrapes the pod, so it isn't annotated to be scraped once more", c.monitor),
			"remove the annotation, or take the pod out of the monitor's selector")
	}
}
