package mutate

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/metricsmerge"
	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
)

// endpoint is a place to scrape.
type endpoint struct {
	port   int32
	path   string
	scheme string // http or https
	name   string // of the container, or of the annotation
	source string // the container that serves it; empty where an annotation names a port and nothing tells whose it is
	why    string // (step 4: port metrics)

	exporter *policy.Exporter    // to be injected
	app      *podpatch.Container // what the exporter is for
}

func (e endpoint) String() string {
	if e.exporter != nil {
		return fmt.Sprintf("%s: exporter %s (%s)", e.name, e.exporter.Name, e.why)
	}
	if e.scheme == "https" {
		return fmt.Sprintf("%s: https %d%s (%s)", e.name, e.port, e.path, e.why)
	}
	return fmt.Sprintf("%s: %d%s (%s)", e.name, e.port, e.path, e.why)
}

var endpointPath = regexp.MustCompile(`^/[-A-Za-z0-9._~/%=&?+:@]{0,255}$`)

// parseEndpoints reads PORT[/PATH],….
func parseEndpoints(text string) ([]endpoint, error) {
	if len(text) > 1024 {
		return nil, fmt.Errorf("it is longer than 1024 bytes")
	}
	var all []endpoint
	for _, item := range strings.Split(text, ",") {
		digits, rest, hasPath := strings.Cut(strings.Trim(item, " "), "/")
		where := "/metrics"
		if hasPath {
			where = "/" + rest
		}
		port, ok := parsePort(digits)
		if !ok {
			return nil, fmt.Errorf("%s has no port from 1 to 65535", quoted(item))
		}
		if !endpointPath.MatchString(where) || slices.Contains(strings.Split(where, "/"), "..") || metricsmerge.ValidatePath(where) != nil {
			return nil, fmt.Errorf("%s has no plain path of an URL", quoted(item))
		}
		all = append(all, endpoint{port: port, path: where, scheme: "http", name: metricsAnnotation, why: "step 1: annotation"})
	}
	return all, nil
}

// containerOf is the name of the container that declares a port, or of the only one; else empty.
func (c *Context) containerOf(port int32) string {
	team := c.candidates()
	for _, p := range team {
		if slices.ContainsFunc(p.Get().Ports, func(d corev1.ContainerPort) bool { return d.ContainerPort == port }) {
			return p.Name()
		}
	}
	if team = slices.DeleteFunc(team, (*podpatch.Container).Init); len(team) == 1 {
		return team[0].Name()
	}
	return ""
}

// parsePort reads digits only, as Prometheus' relabelling does.
func parsePort(digits string) (int32, bool) {
	port, err := strconv.ParseUint(digits, 10, 16)
	return int32(port), err == nil && port > 0
}

// candidates are the containers that may have an endpoint: those that keep running and are the team's.
func (c *Context) candidates() []*podpatch.Container {
	return slices.DeleteFunc(c.Edit.AllContainers(), func(p *podpatch.Container) bool {
		return !runs(p) || c.Policy.Ignored(p.Name())
	})
}

// findEndpoints are the endpoints that the containers show, steps 3 to 5, the surest first. Nothing is guessed: a
// container of which too little is known has none.
func (c *Context) findEndpoints(all []policy.Exporter) []endpoint {
	var found, named, byImage []endpoint
	for _, p := range c.candidates() {
		get := p.Get()
		if standard := exporterPort(all, get.Image); standard > 0 {
			if port := portOf(get, standard); port > 0 {
				found = append(found, endpoint{port: port, path: "/metrics", scheme: "http", name: p.Name(), source: p.Name(), why: "step 3: exporter " + imageBase(get.Image)})
				continue
			}
		}
		if port := namedPort(get); port != nil {
			named = append(named, endpoint{port: port.ContainerPort, path: "/metrics", scheme: "http", name: p.Name(), source: p.Name(), why: "step 4: port " + port.Name})
			continue
		}
		if exporter := exporterFor(all, get.Image); exporter != nil {
			byImage = append(byImage, endpoint{path: "/metrics", scheme: "http", name: p.Name(), source: p.Name(), why: "step 5: image " + imageBase(get.Image), exporter: exporter, app: p})
		}
	}
	if len(found) > 0 {
		for _, e := range byImage {
			c.Skip("%s: the pod has an exporter already", e)
		}
		byImage = nil
	}
	return slices.Concat(found, named, byImage)
}

// portOf is a container's only declared port, or the standard one if it declares none or several with it; else 0.
func portOf(c *corev1.Container, standard int32) int32 {
	if len(c.Ports) == 0 {
		return standard
	}
	for _, p := range c.Ports {
		if p.ContainerPort == standard || len(c.Ports) == 1 {
			return p.ContainerPort
		}
	}
	if port := namedPort(c); port != nil {
		return port.ContainerPort
	}
	return 0
}

func namedPort(c *corev1.Container) *corev1.ContainerPort {
	for i, p := range c.Ports {
		if slices.Contains([]string{"metrics", "http-metrics", "prometheus"}, p.Name) && tcp(p) && !slices.Contains(reservedPorts, p.ContainerPort) {
			return &c.Ports[i]
		}
	}
	return nil
}

func tcp(p corev1.ContainerPort) bool { return p.Protocol == "" || p.Protocol == corev1.ProtocolTCP }

// serves says whether a container with a server's image runs the server, as far as its command tells: the same image
// also runs clients and sentinels.
func serves(c *corev1.Container, e *policy.Exporter) bool {
	words := strings.FieldsFunc(strings.Join(append(slices.Clone(c.Command), c.Args...), " "), func(r rune) bool {
		return strings.ContainsRune(" \t\n;&|'\"", r)
	})
	if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, "sentinel") }) {
		return false
	}
	if len(c.Command) == 0 && (len(c.Args) == 0 || strings.HasPrefix(c.Args[0], "-") || strings.HasSuffix(c.Args[0], ".conf")) {
		return true // the image's own entrypoint
	}
	return slices.ContainsFunc(words, func(w string) bool {
		program := strings.TrimSuffix(path.Base(w), "-server")
		return slices.Contains(e.Match, program)
	})
}
