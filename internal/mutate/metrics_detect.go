package mutate

import (
	"fmt"
	"slices"

	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
)

// detect finds the pod's endpoints, the surest first. Where it finds none, it has said why.
func (c *Context) detect() []endpoint {
	if text, set := c.Annotation(metricsAnnotation); set && text == "none" {
		c.Skip("%s: none", metricsAnnotation)
		return nil
	}
	if text, set := c.Annotation(scrapeAnnotation); set && text != "true" {
		c.Skip("%s is %s (step 2: the pod's own annotations)", scrapeAnnotation, quoted(text))
		return nil
	}
	all := exporters(&c.Policy.Spec().Metrics)
	asked, ok := c.askedEndpoints(all)
	if !ok {
		return nil
	}
	if port, set := c.Annotation(portAnnotation); set && !c.usable(port, asked, all) {
		return nil
	}
	found := append(asked, slices.DeleteFunc(c.findEndpoints(all), func(e endpoint) bool {
		return e.app != nil && slices.ContainsFunc(asked, func(a endpoint) bool { return a.app == e.app })
	})...)
	if len(found) == 0 {
		c.Skip("no endpoint found: name its port metrics, or write %s", metricsAnnotation)
	}
	return found
}

// askedEndpoints are what the pod's annotations ask for, step 1. Where they can't be followed nothing is done.
func (c *Context) askedEndpoints(all []policy.Exporter) (asked []endpoint, ok bool) {
	if text, set := c.Annotation(metricsAnnotation); set {
		var err error
		if asked, err = parseEndpoints(text); err != nil {
			c.Warn(annotationField(metricsAnnotation), "", err.Error()+"; no metrics were set up", "write PORT[/PATH], like 8081/actuator/prometheus, or none")
			return nil, false
		}
		for i := range asked {
			asked[i].source = c.containerOf(asked[i].port)
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
	return append(asked, endpoint{path: "/metrics", scheme: "http", name: app.Name(), source: app.Name(), why: "step 1: annotation", exporter: &all[i], app: app}), true
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
		return false // lintMetrics tells the user
	}
	if _, set := c.Annotation(scrapeAnnotation); set && len(asked) == 0 {
		c.publishOwn(port)
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
