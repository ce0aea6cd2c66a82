package mutate

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// leftToMonitor says whether a PodMonitor or ServiceMonitor scrapes the pod already. Then it gets no annotations, which
// would have it scraped twice, and of exporters only the one that was asked for: the monitor may mean its port.
func (c *Context) leftToMonitor() bool {
	if text, set := c.Annotation(metricsAnnotation); set && text == "none" {
		return false
	}
	if text, set := c.Annotation(scrapeAnnotation); set && text != "true" {
		return false
	}
	monitor := c.monitored()
	if monitor == "" {
		return false
	}
	if skipped := c.before.Skipped["metrics"]; slices.ContainsFunc(skipped, isLeft) { // an exporter of ours changes what is found
		for _, entry := range skipped {
			c.Skip("%s", entry)
		}
		c.warnOfMonitor(monitor)
	} else {
		c.leaveTo(monitor)
	}
	asked, _ := c.askedEndpoints(exporters(&c.Policy.Spec().Metrics))
	c.prepare(slices.DeleteFunc(asked, func(e endpoint) bool { return e.exporter == nil }))
	return true
}

// nowMonitored says whether a monitor scrapes what was made ready, though nothing of the pod as it was.
func (c *Context) nowMonitored(ready []endpoint) bool {
	if !slices.ContainsFunc(ready, func(e endpoint) bool { return e.exporter != nil }) {
		return false
	}
	monitor := c.monitored()
	if monitor != "" {
		c.leaveTo(monitor)
	}
	return monitor != ""
}

// monitored names the monitor that scrapes the team's containers or what was put beside them; empty if none does. One
// that scrapes a mesh's proxy only knows nothing of the app.
func (c *Context) monitored() string {
	if c.Facts.Monitored == nil {
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

func (c *Context) leaveTo(monitor string) {
	kind, _, _ := strings.Cut(monitor, " ")
	c.Skip("%s scrapes it (%ss %s", monitor, kind, leftSuffix)
	c.warnOfMonitor(monitor)
}

const leftSuffix = "count before annotations)"

func isLeft(entry string) bool { return strings.HasSuffix(entry, leftSuffix) }

// warnOfMonitor warns where the pod's annotations and the monitor ask for two scrapes.
func (c *Context) warnOfMonitor(monitor string) {
	if _, set := c.Annotation(scrapeAnnotation); set {
		c.Warn(annotationField(scrapeAnnotation), "", fmt.Sprintf("%s scrapes the pod too: its metrics come twice", monitor),
			"remove the prometheus.io annotations, or take the pod out of the monitor's selector")
	}
	if _, set := c.Annotation(metricsAnnotation); set {
		c.Warn(annotationField(metricsAnnotation), "", fmt.Sprintf("%s scrapes the pod, so it isn't annotated to be scraped once more", monitor),
			"remove the annotation, or take the pod out of the monitor's selector")
	}
}
