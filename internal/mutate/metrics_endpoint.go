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
	"twelvefold.dev/internal/shell"
)

// endpoint is a place to scrape.
type endpoint struct {
	port   int32
	path   string
	scheme string // http or https
	name   string // of the container, or of the annotation
	source string // the container that serves it; empty where an annotation names a port and nothing tells whose it is
	step   int
	why    string // step 4: port metrics

	exporter *policy.Exporter    // to be injected
	profile  *profile            // to be switched on
	asked    string              // the annotation that asks for the exporter or the profile
	app      *podpatch.Container // what the exporter is for
	sidecar  string              // the exporter's container
}

func (e endpoint) String() string {
	if e.exporter != nil {
		return fmt.Sprintf("%s: exporter %s (%s)", e.name, e.exporter.Name, e.why)
	}
	if e.scheme == "https" {
		return fmt.Sprintf("%s: https %d%s (%s)", e.name, e.port, e.path, e.why)
	}
	if e.profile != nil && e.port == 0 {
		return fmt.Sprintf("%s: profile %s (%s)", e.name, e.profile.name, e.why)
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
		if !slices.ContainsFunc(all, func(e endpoint) bool { return e.port == port && e.path == where }) {
			all = append(all, endpoint{port: port, path: where, scheme: "http", name: metricsAnnotation, step: 1, why: "step 1: annotation"})
		}
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

// findEndpoints are the endpoints that the containers show, steps 3 to 6: of each container the first, but for those of
// which done is true. Nothing is guessed: a container of which too little is known has none.
func (c *Context) findEndpoints(all []policy.Exporter, done func(*podpatch.Container) bool) (found []endpoint) {
	there := map[string]bool{} // kinds of exporters that the pod has already
	team := slices.DeleteFunc(c.candidates(), done)
	for _, p := range c.candidates() {
		if kind, _ := exporterKind(all, p.Get().Image); kind != "" {
			there[kind] = true
		}
	}
	for _, p := range team {
		if e, ok := c.findEndpoint(all, p); !ok {
			continue
		} else if e.step == 5 && e.exporter != nil && there[e.exporter.Name] {
			c.Skip("%s: the pod has an exporter already", e)
		} else {
			found = append(found, e)
		}
	}
	slices.SortStableFunc(found, func(a, b endpoint) int { return a.step - b.step })
	return found
}

func (c *Context) findEndpoint(all []policy.Exporter, p *podpatch.Container) (endpoint, bool) {
	get := p.Get()
	e := endpoint{path: "/metrics", scheme: "http", name: p.Name(), source: p.Name(), app: p}
	at := func(step int, port int32, format string, args ...any) (endpoint, bool) {
		e.step, e.port, e.why = step, port, fmt.Sprintf("step %d: ", step)+fmt.Sprintf(format, args...)
		return e, true
	}
	if kind, standard := exporterKind(all, get.Image); kind != "" {
		if port := portOf(get, standard); port > 0 {
			return at(3, port, "exporter %s", imageBase(get.Image))
		}
	}
	if port := agentPort(get); port > 0 {
		return at(3, port, "a JMX exporter's agent")
	}
	if port := namedPort(get); port != nil {
		return at(4, port.ContainerPort, "port %s", port.Name)
	}
	for _, known := range builtInPorts {
		server := &known.server
		declared := slices.ContainsFunc(get.Ports, func(d corev1.ContainerPort) bool { return d.ContainerPort == server.Port && tcp(d) })
		if imageIs(get.Image, server.Match...) && (declared || imageIs(get.Image, known.official) && serves(get, server)) {
			return at(5, server.Port, "image %s", imageBase(get.Image))
		}
	}
	if e.exporter = exporterFor(all, get.Image); e.exporter != nil {
		return at(5, 0, "image %s", imageBase(get.Image))
	}
	if e.profile = c.profileOf(get); e.profile != nil {
		e.path = e.profile.path
		return at(6, 0, "profile of the policy")
	}
	return e, false
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
	argv := append(slices.Clone(c.Command), c.Args...)
	switch { // those that are for a language's runtime: the policy tells by the image whose they are
	case e.Jar != "":
		return true // the agent looks at the command itself
	case e.Name == statsdExporter:
		return len(argv) == 0 || runsGunicorn(c)
	case e.Name == dotnetExporter:
		return len(argv) == 0 || runsDotnet(c)
	}
	if slices.ContainsFunc(argv, func(word string) bool { return strings.Contains(word, "sentinel") }) {
		return false
	}
	if len(c.Command) == 0 && (len(c.Args) == 0 || strings.HasPrefix(c.Args[0], "-") || strings.HasSuffix(c.Args[0], ".conf")) {
		return true // the image's own entrypoint
	}
	for _, command := range shell.Parse(argv) {
		words := command.Words
		if strings.HasSuffix(command.Name(), "entrypoint.sh") {
			if words = words[1:]; len(words) > 0 && strings.HasPrefix(words[0], "-") {
				return true
			}
		}
		if len(words) > 0 && isServer(words[0], e) {
			return true
		}
	}
	return false
}

// isServer says whether a program is one that an exporter is for: mysqld, php-fpm8.3, /opt/bitnami/scripts/redis/run.sh.
func isServer(program string, e *policy.Exporter) bool {
	name := path.Base(program)
	if name == "run.sh" {
		name = path.Base(path.Dir(program))
	} else if len(e.Programs) > 0 {
		return slices.Contains(e.Programs, name) || slices.Contains(e.Programs, strings.TrimRight(name, "0123456789."))
	}
	return slices.ContainsFunc(e.Match, func(match string) bool {
		match, _, _ = strings.Cut(path.Base(match), ":")
		return name == match || name == match+"-server"
	})
}
