package mutate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/policy"
)

// exporterContainer is the name of the n-th exporter of its kind.
func exporterContainer(e *policy.Exporter, n int) string {
	if n > 1 {
		return fmt.Sprintf("twelvefold-%s-%d-exporter", e.Name, n)
	}
	return "twelvefold-" + e.Name + "-exporter"
}

// inject puts an exporter beside its app. An error says why it can't; then nothing was changed.
func (c *Context) inject(at *endpoint) error {
	e := at.exporter
	if e.Jar != "" {
		return c.injectAgent(at)
	}
	if _, err := c.credentials(at.app.Get(), e); err != nil { // first: the sidecar that is there may be another app's
		return err
	}
	for _, p := range c.Edit.InitContainers() {
		if get := p.Get(); p.Name() == at.sidecar && runs(p) && len(get.Ports) > 0 {
			at.port = get.Ports[0].ContainerPort
			return nil
		}
	}
	if why := c.noSidecar(); why != "" {
		return errors.New(why)
	}
	if c.Edit.Pod().Spec.HostNetwork {
		return errors.New("with hostNetwork its port would be one of the node's")
	}
	container, appPort, err := c.sidecarFor(at)
	if err != nil {
		return err
	}
	switch e.Name {
	case dotnetExporter:
		err = c.shareDiagnostics(at, &container)
	case statsdExporter:
		err = c.sendStatsd(at, &container, appPort)
	}
	if err != nil {
		return err
	}
	c.Edit.InsertInitContainer(len(c.Edit.InitContainers()), container) // after whatever brings its credentials
	c.Done("%s: exporter %s on %d (%s)%s", at.name, container.Name, at.port, at.why, expects(container.Args[:len(e.Args)]))
	return nil
}

// sidecarFor is the exporter's container, as the app needs it. It has no readiness probe: a broken exporter must not take
// the app out of service.
func (c *Context) sidecarFor(at *endpoint) (container corev1.Container, appPort int32, err error) {
	e := at.exporter
	if e.Image == "" || e.Port == 0 {
		return container, 0, errors.New("the policy gives it no image or no port")
	}
	if appPort, err = c.appPort(at.app.Get(), e); err != nil {
		return container, 0, err
	}
	env, err := c.credentials(at.app.Get(), e)
	if err != nil {
		return container, 0, err
	}
	if at.port, err = c.freePort(e.Port, e.Movable()); err != nil {
		return container, 0, err
	}
	security := restricted()
	security.RunAsUser = new(e.User)
	container = corev1.Container{
		Name:                     at.sidecar,
		Image:                    e.Image,
		RestartPolicy:            new(corev1.ContainerRestartPolicyAlways),
		Ports:                    []corev1.ContainerPort{{ContainerPort: at.port, Protocol: corev1.ProtocolTCP}},
		Resources:                smallResources(),
		SecurityContext:          security,
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
	fill := strings.NewReplacer("$(APP_PORT)", strconv.Itoa(int(appPort)), "$(ADDRESS)", fmt.Sprintf(":%d", at.port))
	for _, arg := range e.Args {
		container.Args = append(container.Args, fill.Replace(arg))
	}
	if e.PortFlag != "" { // always: the policy may give another port than the image's own
		container.Args = append(container.Args, fill.Replace(e.PortFlag))
	}
	container.Env = env // before what may use it
	for _, name := range slices.Sorted(maps.Keys(e.Env)) {
		container.Env = append(container.Env, corev1.EnvVar{Name: name, Value: fill.Replace(e.Env[name])})
	}
	return container, appPort, nil
}

// expects tells what an exporter relies on: its arguments are the policy's, and hold no secret.
func expects(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return "; it runs with " + strings.Join(args, " ")
}

// freePort is a port, or one above it if a container has that.
func (c *Context) freePort(wanted int32, movable bool) (int32, error) {
	taken := c.takenPorts()
	if !slices.Contains(taken, wanted) {
		return wanted, nil
	}
	if !movable {
		return 0, fmt.Errorf("its port %d is taken, and the policy has no portFlag to move it", wanted)
	}
	for port := wanted + 1; port <= min(wanted+100, 65535); port++ {
		if !slices.Contains(taken, port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("port %d and those above are taken", wanted)
}

// takenPorts are those that nothing injected may open: the containers', the meshes', and those that variables name.
func (c *Context) takenPorts() []int32 {
	taken := slices.Concat(reservedPorts, c.daprPorts())
	for _, p := range c.Edit.AllContainers() {
		get := p.Get()
		for _, port := range get.Ports {
			taken = append(taken, port.ContainerPort)
		}
		if port := jmxPort(get); port > 0 {
			taken = append(taken, port)
		}
		if port, err := portIn(get, "OTEL_EXPORTER_PROMETHEUS_PORT"); err == nil && port > 0 {
			taken = append(taken, port)
		}
	}
	return taken
}

// appPort is where the app listens: as its command says, as it declares, or as such apps do.
func (c *Context) appPort(get *corev1.Container, e *policy.Exporter) (int32, error) {
	switch e.Name {
	case statsdExporter:
		return c.freePort(e.AppPort, true)
	case dotnetExporter:
		return 0, nil // a socket
	}
	words := append(slices.Clone(get.Command), get.Args...)
	for i, w := range words {
		value, attached := strings.CutPrefix(w, "--port=")
		if w == "--port" && i+1 < len(words) {
			value, attached = words[i+1], true
		}
		if !attached {
			continue
		}
		if port, ok := parsePort(value); ok {
			return port, nil
		}
		return 0, errors.New("the command's --port is no plain port")
	}
	var declared []corev1.ContainerPort
	for _, p := range get.Ports {
		if tcp(p) {
			declared = append(declared, p)
		}
	}
	switch {
	case len(declared) == 0 && e.AppPort > 0:
		return e.AppPort, nil
	case len(declared) == 0:
		return 0, errors.New("the container declares no port")
	case len(declared) == 1:
		return declared[0].ContainerPort, nil
	}
	for _, p := range declared {
		if p.ContainerPort == e.AppPort || p.Name == e.Name || p.Name == "http" {
			return p.ContainerPort, nil
		}
	}
	return 0, fmt.Errorf("the container declares several ports, none named %s or http", e.Name)
}
