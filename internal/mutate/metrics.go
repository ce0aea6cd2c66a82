package mutate

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
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
	if text, set := c.Annotation(metricsAnnotation); set && text == "none" {
		c.Skip("%s: none", metricsAnnotation)
		return
	}
	if text, set := c.Annotation(scrapeAnnotation); set && text != "true" {
		c.Skip("%s is %s (step 2: the pod's own annotations)", scrapeAnnotation, quoted(text))
		return
	}
	all := exporters(&c.Policy.Spec().Metrics)
	asked, ok := c.askedEndpoints(all)
	if !ok {
		return
	}
	if port, set := c.Annotation(portAnnotation); set && !c.usable(port, asked, all) {
		return
	}
	found := append(asked, slices.DeleteFunc(c.findEndpoints(all), func(e endpoint) bool {
		return e.app != nil && slices.ContainsFunc(asked, func(a endpoint) bool { return a.app == e.app })
	})...)
	if len(found) == 0 {
		c.Skip("no endpoint found: name its port metrics, or write %s", metricsAnnotation)
		return
	}
	for i := range found {
		if !c.scrape(&found[i]) {
			if i < len(asked) { // what was asked for is not replaced by something else
				return
			}
			continue
		}
		for _, other := range found[i+1:] {
			c.Skip("%s: prometheus.io/port holds one endpoint, and %d was taken", other, found[i].port)
		}
		c.warnOfMore()
		return
	}
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

// askedEndpoints are what the pod's annotations ask for, step 1. Where they can't be followed nothing is done.
func (c *Context) askedEndpoints(all []policy.Exporter) (asked []endpoint, ok bool) {
	if text, set := c.Annotation(metricsAnnotation); set {
		var err error
		if asked, err = parseEndpoints(text); err != nil {
			c.Warn(annotationField(metricsAnnotation), "", err.Error()+"; no metrics were set up", "write PORT[/PATH], like 8081/actuator/prometheus, or none")
			return nil, false
		}
	}
	name, set := c.Annotation(exporterAnnotation)
	if !set || name == "none" {
		return asked, true
	}
	i := slices.IndexFunc(all, func(e policy.Exporter) bool { return e.Name == name })
	if i < 0 {
		c.Warn(annotationField(exporterAnnotation), "", "there is no exporter "+quoted(name), "one of "+exporterNames(all)+", or none")
		return nil, false
	}
	app := c.appOf(&all[i])
	if app == nil {
		c.Warn(annotationField(exporterAnnotation), "", "several containers, and none has an image that tells whom the exporter "+name+" is for",
			"add the image's name to the exporter's match in the policy")
		return nil, false
	}
	return append(asked, endpoint{path: "/metrics", name: app.Name(), why: "step 1: annotation", exporter: &all[i], app: app}), true
}

// appOf is the container that an exporter is for: the one with such an image, or the only one.
func (c *Context) appOf(e *policy.Exporter) *podpatch.Container {
	team := c.candidates()
	for _, p := range team {
		if slices.Contains(e.Match, imageBase(p.Get().Image)) {
			return p
		}
	}
	if team = slices.DeleteFunc(team, (*podpatch.Container).Init); len(team) == 1 {
		return team[0]
	}
	return nil
}

// usable says whether there is something to add to the user's own port: only where an endpoint is certain to be that.
func (c *Context) usable(text string, asked []endpoint, all []policy.Exporter) bool {
	port, ok := parsePort(text)
	if !ok {
		c.Warn(annotationField(portAnnotation), "", quoted(text)+" is no port: Prometheus drops it", "write digits from 1 to 65535")
		return false
	}
	if _, set := c.Annotation(scrapeAnnotation); set && len(asked) == 0 {
		c.complete(port, "/metrics")
		c.Skip("port %d is the pod's own (step 2: prometheus.io annotations)", port)
		return false
	}
	for _, e := range append(slices.Clone(asked), c.findEndpoints(all)...) {
		if e.port == port || e.exporter != nil && e.exporter.Port == port {
			return true
		}
	}
	for _, e := range asked {
		c.Warn(annotationField(portAnnotation), "", fmt.Sprintf("the pod's own port %d wins, so %s is not scraped", port, e.name), "write one of them")
	}
	c.Skip("port %d is the pod's own (step 2: prometheus.io annotations)", port)
	return false
}

// scrape makes an endpoint the one that is scraped, with its exporter if it needs one.
func (c *Context) scrape(e *endpoint) bool {
	if text, set := c.Annotation(portAnnotation); set && e.exporter == nil && text != strconv.Itoa(int(e.port)) {
		c.Skip("%s: the pod's own prometheus.io/port is %s", e, quoted(text))
		return false
	}
	if e.exporter != nil && !c.export(e) {
		return false
	}
	if e.exporter == nil {
		c.Done("%s", e)
	}
	c.complete(e.port, e.path)
	return true
}

// export injects an exporter unless something speaks against it; what the user asked for and doesn't get is a warning.
func (c *Context) export(e *endpoint) bool {
	asked := strings.HasPrefix(e.why, "step 1")
	err := error(nil)
	switch text, set := c.Annotation(exporterAnnotation); {
	case set && text == "none":
		err = fmt.Errorf("%s: none", exporterAnnotation)
	case !asked && !serves(e.app.Get(), e.exporter):
		err = fmt.Errorf("its command doesn't tell that it runs a server; %s: %s says so", exporterAnnotation, e.exporter.Name)
	}
	if where, set := c.Annotation(pathAnnotation); err == nil && set && where != "/metrics" {
		err = fmt.Errorf("the pod's own prometheus.io/path is %s, the exporter's /metrics", quoted(where))
	}
	if port, set := c.Annotation(portAnnotation); err == nil && set && port != strconv.Itoa(int(e.exporter.Port)) {
		err = fmt.Errorf("the pod's own prometheus.io/port is %s, the exporter's %d", quoted(port), e.exporter.Port)
	}
	if err == nil {
		err = c.inject(e)
	}
	if err == nil {
		return true
	}
	c.Skip("%s: %v", e, err)
	if asked {
		c.Warn(annotationField(exporterAnnotation), e.name, fmt.Sprintf("the exporter %s is not injected: %v", e.exporter.Name, err), "mend that, or remove the annotation")
	}
	return false
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
