package mutate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// dialect is how consumers are told of endpoints: by which annotations.
type dialect interface {
	// several says whether it can tell of more than one endpoint.
	several() bool
	// lacks is what keeps it from telling of an endpoint; empty if nothing does.
	lacks(c *Context, e endpoint) string
	// words are the annotations for the endpoints: in groups, each of which is written whole or not at all.
	words(c *Context, ready []endpoint) []group
}

// group are annotations that belong together.
type group struct {
	annotations [][2]string
	// own says whether an annotation of the user's decides the same, so that none of the group is written.
	own func(key string) bool
	// completed is set where the user's own are completed instead, so that own is not asked.
	completed bool
}

// dialects are those to tell of endpoints: without those whose consumers scrape the pod by a monitor.
func (c *Context) dialects() []dialect {
	return slices.DeleteFunc(c.allDialects(), c.leftOut)
}

// allDialects are those of the consumers that the policy names, each once.
func (c *Context) allDialects() (all []dialect) {
	for _, consumer := range c.consumers() {
		var d dialect
		switch consumer {
		case "prometheus", "azure", "container-insights":
			d = prometheusWords
		case "grafana":
			d = grafanaWords
		case "datadog":
			d = datadogWords{}
		case "opentelemetry":
			d = openTelemetryWords{}
		}
		if d != nil && !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	return all
}

func (c *Context) consumers() []string {
	if named := c.Policy.Spec().Metrics.Consumers; len(named) > 0 {
		return named
	}
	return []string{"prometheus"}
}

// reads says whether the policy names one of the consumers.
func (c *Context) reads(consumers ...string) bool {
	return slices.ContainsFunc(c.consumers(), func(named string) bool { return slices.Contains(consumers, named) })
}

// singleWords are a dialect that tells of one endpoint, by an annotation each for its parts.
type singleWords struct{ scrape, port, path, scheme string }

var (
	// prometheusWords are read by the scrape configuration of Prometheus' community chart, by Azure Monitor, which leaves
	// out the scheme, and by Container insights.
	prometheusWords = singleWords{scrapeAnnotation, portAnnotation, pathAnnotation, schemeAnnotation}
	// grafanaWords are read by Alloy as Grafana's k8s-monitoring chart sets it up.
	grafanaWords = singleWords{"k8s.grafana.com/scrape", "k8s.grafana.com/metrics.portNumber", "k8s.grafana.com/metrics.path", "k8s.grafana.com/metrics.scheme"}
)

// These narrow down what Alloy scrapes; we write neither.
const (
	grafanaPortName  = "k8s.grafana.com/metrics.portName"
	grafanaContainer = "k8s.grafana.com/metrics.container"
)

func (singleWords) several() bool { return false }

func (singleWords) lacks(*Context, endpoint) string { return "" }

// A scrape without a port makes Prometheus try every port of every container, so the three come together.
func (w singleWords) words(c *Context, ready []endpoint) []group {
	e := ready[0]
	all := [][2]string{{w.scrape, "true"}, {w.port, strconv.Itoa(int(e.port))}, {w.path, e.path}}
	if e.scheme == "https" || c.ours[w.scheme] { // what is merged now may have been https before
		all = append(all, [2]string{w.scheme, e.scheme})
	}
	return []group{{annotations: all, completed: true}}
}

const datadogPrefix = "ad.datadoghq.com/"

// datadogKinds are the annotations of a container that name checks: in one, as the Agent reads it from 7.36 on, or in three.
var datadogKinds = []string{"checks", "check_names", "init_configs", "instances"}

// datadogWords are the checks of Datadog's autodiscovery, one annotation per container. The endpoint stands in them by
// the pod's address and its port, so that the container is only where the check hangs.
type datadogWords struct{}

func (datadogWords) several() bool { return true }

func (datadogWords) lacks(c *Context, e endpoint) string {
	if strings.Contains(e.path, "%%") {
		return "Datadog takes %% in its path for a variable"
	}
	if len(datadogContainer(c, e))+len(".checks") > 63 {
		return "the container's name is too long for Datadog's annotation"
	}
	return ""
}

// datadogContainer is the main container that an endpoint's check hangs at. Agents don't look at native sidecars
// everywhere, so the check of one hangs at the team's first container.
func datadogContainer(c *Context, e endpoint) string {
	first := ""
	for _, p := range c.Edit.Containers() {
		if p.Name() == e.source {
			return e.source
		}
		if first == "" && !c.Policy.Ignored(p.Name()) {
			first = p.Name()
		}
	}
	return cmp.Or(first, e.source)
}

// datadogKnows says whether a check for an endpoint is there, at whichever container.
func datadogKnows(c *Context, url string) bool {
	for key, value := range c.Edit.Pod().Annotations {
		if strings.HasPrefix(key, datadogPrefix) && strings.Contains(value, strconv.Quote(url)) {
			return true
		}
	}
	return false
}

type (
	datadogChecks struct {
		OpenMetrics datadogCheck `json:"openmetrics"`
	}
	datadogCheck struct {
		InitConfig struct{}          `json:"init_config"`
		Instances  []datadogInstance `json:"instances"`
	}
	datadogInstance struct {
		Endpoint  string   `json:"openmetrics_endpoint"`
		Namespace string   `json:"namespace"` // empty: the metrics keep their names
		Metrics   []string `json:"metrics"`
		TLSVerify *bool    `json:"tls_verify,omitempty"`
	}
)

func (datadogWords) words(c *Context, ready []endpoint) (groups []group) {
	var order []string
	checks := map[string]*datadogChecks{}
	for _, e := range ready {
		url := fmt.Sprintf("%s://%%%%host%%%%:%d%s", e.scheme, e.port, e.path)
		if datadogKnows(c, url) {
			continue
		}
		at := datadogContainer(c, e)
		if checks[at] == nil {
			order = append(order, at)
			checks[at] = &datadogChecks{}
		}
		instance := datadogInstance{Endpoint: url, Metrics: []string{".*"}}
		if e.scheme == "https" {
			instance.TLSVerify = new(false) // pods' certificates don't name their addresses
		}
		checks[at].OpenMetrics.Instances = append(checks[at].OpenMetrics.Instances, instance)
	}
	for _, container := range order {
		prefix := datadogPrefix + container + "."
		groups = append(groups, group{annotations: [][2]string{{prefix + "checks", compactJSON(checks[container])}}, own: func(key string) bool {
			kind, is := strings.CutPrefix(key, prefix)
			return is && slices.Contains(datadogKinds, kind)
		}})
	}
	return groups
}

// compactJSON is JSON on one line, with & and the like as they are.
func compactJSON(value any) string {
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		panic(err) // strings and numbers always marshal
	}
	return strings.TrimSpace(text.String())
}

// openTelemetryWords are the hints for the Collector's receiver_creator, three annotations per port.
type openTelemetryWords struct{}

const openTelemetryPrefix = "io.opentelemetry.discovery.metrics"

func (openTelemetryWords) several() bool { return true }

// The Collector's observer makes an endpoint of each port that a main container declares, and of no other.
func (openTelemetryWords) lacks(c *Context, e endpoint) string {
	for _, c := range c.Edit.Pod().Spec.Containers {
		if slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.ContainerPort == e.port }) {
			return ""
		}
	}
	return fmt.Sprintf("the OpenTelemetry Collector finds ports that main containers declare, and none declares %d", e.port)
}

func (openTelemetryWords) words(_ *Context, ready []endpoint) (groups []group) {
	var ports []int32
	for _, e := range ready {
		if slices.Contains(ports, e.port) {
			continue // one receiver per port
		}
		ports = append(ports, e.port)
		prefix := fmt.Sprintf("%s.%d/", openTelemetryPrefix, e.port)
		config := "endpoint: \"`endpoint`\"\nmetrics_path: \"" + e.path + "\"\n"
		if e.scheme == "https" {
			config += "tls:\n  insecure: false\n  insecure_skip_verify: true\n" // pods' certificates don't name their addresses
		}
		groups = append(groups, group{
			annotations: [][2]string{{prefix + "enabled", "true"}, {prefix + "scraper", "prometheus_simple"}, {prefix + "config", config}},
			own: func(key string) bool {
				return strings.HasPrefix(key, prefix) || strings.HasPrefix(key, openTelemetryPrefix+"/")
			},
		})
	}
	return groups
}
