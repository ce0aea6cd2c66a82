package mutate

import (
	"fmt"
	"slices"
	"strings"

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
	shown := c.findEndpoints(all, func(p *podpatch.Container) bool {
		return slices.ContainsFunc(asked, func(a endpoint) bool { return a.source == p.Name() })
	})
	if port, set := c.Annotation(portAnnotation); set && !c.usable(port, asked, shown) {
		return nil
	}
	found := append(asked, slices.DeleteFunc(shown, func(e endpoint) bool { // one that the annotation names without saying whose it is
		return slices.ContainsFunc(asked, func(a endpoint) bool { return a.port > 0 && a.port == e.port })
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
	if asked, ok = c.askedProfile(asked); !ok {
		return nil, false
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
	return append(asked, endpoint{path: "/metrics", scheme: "http", name: app.Name(), source: app.Name(), step: 1, why: "step 1: annotation",
		exporter: &all[i], asked: exporterAnnotation, app: app}), true
}

// askedProfile adds the endpoint of the profile that the pod asks for. Where the annotations name the app's endpoint too,
// that is where the profile's metrics are.
func (c *Context) askedProfile(asked []endpoint) ([]endpoint, bool) {
	name, set := c.Annotation(profileAnnotation)
	if !set || name == "none" {
		return asked, true
	}
	p := profileNamed(name)
	if p == nil {
		c.Warn(annotationField(profileAnnotation), "", "there is no profile "+quoted(name), "one of "+strings.Join(profileNames(), ", ")+", or none")
		return nil, false
	}
	app := c.only(": profile "+name+":", func(app *podpatch.Container) bool { return p.shownBy(app.Get()) })
	if app == nil {
		c.Warn(annotationField(profileAnnotation), "", fmt.Sprintf("several containers, and not one alone has a variable that starts with %s, so nothing tells whose profile it is", p.prefixes[0]),
			"set one, such as "+p.example)
		return nil, false
	}
	for i := range asked {
		if asked[i].source == app.Name() || asked[i].source == "" && len(asked) == 1 {
			asked[i].profile, asked[i].asked, asked[i].app = p, profileAnnotation, app
			return asked, true
		}
	}
	return append(asked, endpoint{path: p.path, scheme: "http", name: app.Name(), source: app.Name(), step: 6, why: "step 6: annotation",
		profile: p, asked: profileAnnotation, app: app}), true
}

// appOf is the container that an exporter is for: the one with such an image or such a program, or the only one.
func (c *Context) appOf(e *policy.Exporter) *podpatch.Container {
	for _, p := range c.candidates() {
		if imageIs(p.Get().Image, e.Match...) {
			return p
		}
	}
	did := ": exporter " + exporterContainer(e, 1)
	if e.Jar != "" {
		did = ": JMX exporter "
	}
	return c.only(did, func(p *podpatch.Container) bool {
		switch {
		case e.Jar != "":
			return runsJava(p.Get())
		case e.Name == statsdExporter:
			return runsGunicorn(p.Get())
		case e.Name == dotnetExporter:
			return runsDotnet(p.Get())
		}
		return false
	})
}

// only is the one container that fits, or the pod's only one, or the one of which the status says that this was done for
// it when it was the only one.
func (c *Context) only(did string, fits func(*podpatch.Container) bool) *podpatch.Container {
	team := slices.DeleteFunc(c.candidates(), (*podpatch.Container).Init)
	if len(team) == 1 {
		return team[0]
	}
	for _, p := range team {
		if slices.ContainsFunc(c.DoneBefore(), func(entry string) bool { return strings.HasPrefix(entry, p.Name()+did) }) {
			return p
		}
	}
	if team = slices.DeleteFunc(team, func(p *podpatch.Container) bool { return !fits(p) }); len(team) == 1 {
		return team[0]
	}
	return nil
}

// usable says whether there is something to add to the user's own port: only where an endpoint is certain to be that.
func (c *Context) usable(text string, asked, shown []endpoint) bool {
	port, ok := parsePort(text)
	if !ok {
		c.Skip("%s is %s, which is no port", portAnnotation, quoted(text)) // lintMetrics tells the user, too
		return false
	}
	if _, set := c.Annotation(scrapeAnnotation); set && len(asked) == 0 {
		c.publishOwn(port)
		c.Skip("port %d is the pod's own (step 2: prometheus.io annotations)", port)
		return false
	}
	for _, e := range slices.Concat(asked, shown) {
		if e.port == port || e.exporter != nil && e.exporter.Port == port || e.profile != nil {
			return true
		}
	}
	for _, e := range asked {
		c.Warn(annotationField(portAnnotation), "", fmt.Sprintf("the pod's own port %d wins, so %s is not scraped", port, e.name), "write one of them")
	}
	c.Skip("port %d is the pod's own (step 2: prometheus.io annotations)", port)
	return false
}
