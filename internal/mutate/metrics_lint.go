package mutate

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"twelvefold.dev/internal/podpatch"
)

// lintMetrics warns of what the user's own annotations tell a consumer in vain. Charts have such annotations without
// knowing which consumer there is, so only what a consumer of the policy would drop or take otherwise is told.
func (c *Context) lintMetrics() {
	if c.reads("prometheus", "azure", "container-insights") {
		c.lintSingle(prometheusWords, "Prometheus")
	}
	if c.reads("grafana") {
		c.lintSingle(grafanaWords, "Alloy")
		c.lintGrafana()
	}
	keys := slices.Sorted(maps.Keys(c.Edit.Pod().Annotations))
	for _, key := range keys {
		if strings.HasPrefix(key, datadogPrefix) && c.reads("datadog") {
			c.lintDatadog(key)
		}
		if strings.HasPrefix(key, openTelemetryPrefix) && c.reads("opentelemetry") {
			c.lintOpenTelemetry(key)
		}
	}
}

func write(key, value string) string { return "write " + key + ": " + strconv.Quote(value) }

func (c *Context) lintSingle(w singleWords, who string) {
	if text, set := c.Annotation(w.scrape); set && text != "true" {
		if text != "false" {
			value := "false"
			if slices.Contains([]string{"true", "yes", "on", "1", "y", "t"}, strings.ToLower(strings.Trim(text, " \"'"))) {
				value = "true"
			}
			c.Warn(annotationField(w.scrape), "", quoted(text)+" is neither true nor false, so "+who+" doesn't scrape the pod", write(w.scrape, value))
		}
		return // nobody reads the others
	}
	if text, set := c.Annotation(w.port); set {
		c.lintPortValue(w.port, text, who)
	}
	if text, set := c.Annotation(w.path); set {
		c.lintPath(w, text, who)
	}
	if text, set := c.Annotation(w.scheme); set {
		c.lintScheme(w, text, who)
	}
}

func (c *Context) lintPortValue(key, text, who string) {
	port, ok := parsePort(text)
	if !ok {
		fix := "write digits from 1 to 65535"
		if named := c.portNamed(text); named > 0 {
			fix = write(key, strconv.Itoa(int(named)))
		}
		if all, err := parseEndpoints(text); err == nil && len(all) > 1 {
			fix = "remove it and " + write(metricsAnnotation, text)
		}
		c.Warn(annotationField(key), "", quoted(text)+" is no port: "+who+" drops it", fix)
		return
	}
	declared, all := c.declaredPorts()
	if !all || len(declared) == 0 || slices.Contains(declared, port) || slices.Contains(append(c.daprPorts(), reservedPorts...), port) || c.mergeSidecar() != nil || c.servesUndeclared(port) {
		return
	}
	fix := "declare it, or write another port"
	if len(declared) == 1 {
		fix = "declare it, or " + write(key, strconv.Itoa(int(declared[0])))
	}
	c.Warn(annotationField(key), "", fmt.Sprintf("no container declares the port %d; declared are %s", port, list(declared)), fix)
}

// servesUndeclared says whether a container is known to serve a port without declaring it, as the images of exporters.
func (c *Context) servesUndeclared(port int32) bool {
	all := exporters(&c.Policy.Spec().Metrics)
	for _, p := range c.candidates() {
		if _, standard := exporterKind(all, p.Get().Image); standard == port {
			return true
		}
	}
	return false
}

func list(ports []int32) string {
	var texts []string
	for _, port := range ports {
		texts = append(texts, strconv.Itoa(int(port)))
	}
	return shown(strings.Join(texts, ", "))
}

func (c *Context) lintPath(w singleWords, text, who string) {
	field := annotationField(w.path)
	switch {
	case strings.Contains(text, "://") || strings.HasPrefix(text, "http:") || strings.HasPrefix(text, "https:"):
		path := "/metrics"
		if u, err := url.Parse(text); err == nil && strings.HasPrefix(u.Path, "/") {
			path = u.Path
		}
		c.Warn(field, "", quoted(text)+" is an URL; the path alone belongs here", write(w.path, path))
	case !strings.HasPrefix(text, "/"):
		path := "/" + text
		if i := strings.Index(text, "/"); strings.HasPrefix(text, ":") { // a port before the path
			path = "/metrics"
			if i > 0 {
				path = text[i:]
			}
		}
		c.Warn(field, "", "the path "+quoted(text)+" has no slash in front", write(w.path, path))
	case strings.Contains(text, "?") && w == prometheusWords:
		path, query, _ := strings.Cut(text, "?")
		name, value, _ := strings.Cut(query, "=")
		c.Warn(field, "", who+" takes the question mark in "+quoted(text)+" for a part of the path", write(w.path, path)+" and prometheus.io/param_"+shown(name)+": "+quoted(value))
	}
}

func (c *Context) lintScheme(w singleWords, text, who string) {
	switch {
	case text != "http" && text != "https":
		scheme := "http"
		if strings.HasPrefix(strings.ToLower(text), "https") {
			scheme = "https"
		}
		c.Warn(annotationField(w.scheme), "", quoted(text)+" is no scheme: "+who+" knows http and https", write(w.scheme, scheme))
	case text == "https" && w == prometheusWords && c.reads("azure"):
		c.Warn(annotationField(w.scheme), "", "Azure Monitor doesn't read it and scrapes over http", "serve metrics over http")
	}
}

// lintGrafana looks for what Alloy is told of another endpoint than Prometheus.
func (c *Context) lintGrafana() {
	const name = grafanaPortName
	if text, set := c.Annotation(name); set && c.portNamed(text) == 0 {
		if declared, all := c.declaredPorts(); all && len(declared) > 0 {
			c.Warn(annotationField(name), "", "no container declares a port named "+quoted(text)+", so Alloy scrapes nothing", "name a port so, or "+write(grafanaWords.port, strconv.Itoa(int(declared[0]))))
		}
	}
	if !c.reads("prometheus", "azure", "container-insights") {
		return
	}
	for _, keys := range [][2]string{{grafanaWords.port, portAnnotation}, {grafanaWords.path, pathAnnotation}} {
		theirs, set := c.Annotation(keys[0])
		ours, both := c.Annotation(keys[1])
		if set && both && theirs != ours {
			c.Warn(annotationField(keys[0]), "", fmt.Sprintf("%s contradicts %s, which is %s", quoted(theirs), keys[1], quoted(ours)), "write "+keys[0]+": "+quoted(ours)+" or the other way round")
		}
	}
}

// lintDatadog looks whether the Agent can read a container's checks.
func (c *Context) lintDatadog(key string) {
	kind := key[strings.LastIndex(key, ".")+1:]
	text, set := c.Annotation(key)
	if !set || !slices.Contains(datadogKinds, kind) {
		return
	}
	var list []any
	var object map[string]any
	err, want := json.Unmarshal([]byte(text), &list), "a list"
	fix := `write ` + key + `: '["openmetrics"]'`
	switch kind {
	case "checks":
		err, want = json.Unmarshal([]byte(text), &object), "an object"
		fix = `write {"openmetrics":{"instances":[{"openmetrics_endpoint":"http://%%host%%:8080/metrics","metrics":[".*"]}]}}`
	case "init_configs":
		fix = `write ` + key + `: '[{}]'`
	case "instances":
		fix = `write [{"openmetrics_endpoint":"http://%%host%%:8080/metrics","metrics":[".*"]}]`
	}
	if err != nil { // its text may show a user's value
		c.Warn(annotationField(key), "", "it is not "+want+" in JSON, so the Datadog Agent drops it", fix)
	}
}

// lintOpenTelemetry looks whether the Collector's receiver_creator can read a hint.
func (c *Context) lintOpenTelemetry(key string) {
	text, set := c.Annotation(key)
	prefix, hint, found := strings.Cut(key, "/")
	if !set || !found {
		return
	}
	switch hint {
	case "enabled":
		scraper := prefix + "/scraper"
		_, has := c.Annotation(scraper)
		if _, inherited := c.Annotation(openTelemetryPrefix + "/scraper"); text == "true" && !has && !inherited {
			c.Warn(annotationField(key), "", "there is no scraper, so the OpenTelemetry Collector does nothing", write(scraper, "prometheus_simple"))
		}
		if text != "true" && text != "false" {
			c.Warn(annotationField(key), "", quoted(text)+" is neither true nor false, so the OpenTelemetry Collector does nothing", write(key, "true"))
		}
	case "config":
		if yaml.Unmarshal([]byte(text), &map[string]any{}) != nil { // its text may show a user's value
			c.Warn(annotationField(key), "", "it is not a map in YAML, so the OpenTelemetry Collector drops it", "write "+"endpoint: \"`endpoint`\" and metrics_path: /metrics, on a line each")
		}
	}
}

// lintPort warns where, after all, a scrape has no port: Prometheus then tries each that the containers declare.
func (c *Context) lintPort() {
	annotations := c.Edit.Pod().Annotations
	if _, set := annotations[portAnnotation]; set || annotations[scrapeAnnotation] != "true" || !c.reads("prometheus", "azure", "container-insights") {
		return
	}
	if declared, _ := c.declaredPorts(); len(declared) > 1 {
		c.Warn(annotationField(scrapeAnnotation), "", "there is no prometheus.io/port, so each of the ports "+list(declared)+" is scraped", write(portAnnotation, strconv.Itoa(int(declared[0]))))
	}
}

// declaredPorts are the TCP ports of the containers that keep running. all says whether each of the team's declares some.
func (c *Context) declaredPorts() (ports []int32, all bool) {
	all = true
	for _, p := range c.Edit.AllContainers() {
		if !runs(p) {
			continue
		}
		before := len(ports)
		for _, port := range p.Get().Ports {
			if tcp(port) {
				ports = append(ports, port.ContainerPort)
			}
		}
		all = all && (len(ports) > before || c.Policy.Ignored(p.Name()))
	}
	slices.Sort(ports)
	return slices.Compact(ports), all
}

// portNamed is the port that a container declares by this name, or 0.
func (c *Context) portNamed(name string) int32 {
	for _, p := range slices.DeleteFunc(c.Edit.AllContainers(), func(p *podpatch.Container) bool { return !runs(p) }) {
		for _, port := range p.Get().Ports {
			if port.Name == name && name != "" {
				return port.ContainerPort
			}
		}
	}
	return 0
}
