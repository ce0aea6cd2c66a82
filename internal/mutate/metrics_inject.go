package mutate

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/keyvault/envfile"
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
	if _, err := credentials(at.app.Get(), e); err != nil { // first: the sidecar that is there may be another app's
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
	env, err := credentials(at.app.Get(), e)
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

var requirepass = regexp.MustCompile(`--requirepass(?:[ =]+["']?(?:\$\(([A-Za-z_]\w*)\)|\$\{([A-Za-z_]\w*)\}|\$([A-Za-z_]\w*)))?`)

// credentials are the app's, by reference: a secret that stands in the pod as text is not copied. With them come what is
// no secret: the names of the user and the database.
func credentials(c *corev1.Container, e *policy.Exporter) (env []corev1.EnvVar, err error) {
	for _, name := range slices.Sorted(maps.Keys(e.Credentials)) {
		sources, required := e.Credentials[name], false
		if found := requirepass.FindStringSubmatch(strings.Join(append(slices.Clone(c.Command), c.Args...), " ")); e.Name == "redis" && found != nil {
			required = true
			if source := found[1] + found[2] + found[3]; source != "" {
				sources = policy.Names{source}
			} else {
				return nil, errors.New("--requirepass is given as text; take the password from a secret's variable")
			}
		}
		value, err := credential(c, sources)
		if err != nil {
			return nil, err
		}
		if value != nil {
			env = append(env, corev1.EnvVar{Name: name, ValueFrom: value})
		} else if required {
			return nil, fmt.Errorf("--requirepass takes %s, which the container's env doesn't have", sources[0])
		}
	}
	if len(e.Credentials) > 0 && len(env) == 0 {
		if e.Passwordless == nil {
			return nil, nil // then there is no user either
		}
		if !slices.ContainsFunc(e.Passwordless, func(name string) bool { return says(c, name) }) {
			return nil, fmt.Errorf("its env has no password: none of %s", strings.Join(slices.Concat(slices.Collect(maps.Values(e.Credentials))...), ", "))
		}
	}
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(e.Values))) {
		value, err := openValue(c, name, e.Values[name])
		if err != nil {
			return nil, err
		}
		if value != nil {
			env = slices.Insert(env, 0, *value)
		}
	}
	return env, nil
}

// says tells whether a variable that allows to have no password does so.
func says(c *corev1.Container, name string) bool {
	value, _ := plainEnv(c, name)
	return slices.Contains([]string{"trust", "yes", "true", "1"}, strings.ToLower(value))
}

// credential is the source of the app's first variable of those named, or nil if it has none.
func credential(c *corev1.Container, names policy.Names) (*corev1.EnvVarSource, error) {
	for _, name := range names {
		if i := lastEnv(c, name); i >= 0 && (c.Env[i].ValueFrom != nil || c.Env[i].Value != "") {
			if envfile.HasPlaceholder(c.Env[i].Value) {
				return nil, fmt.Errorf("%s comes from Key Vault by exec, which the exporter doesn't see", name)
			}
			if c.Env[i].ValueFrom == nil {
				return nil, fmt.Errorf("%s stands in the pod as text; take it from a secret with valueFrom", name)
			}
			return copyable(c.Env[i])
		}
	}
	for _, name := range names {
		if lastEnv(c, name+"_FILE") >= 0 {
			return nil, fmt.Errorf("the app reads %s from a file, which the exporter doesn't see", name)
		}
	}
	if len(c.EnvFrom) > 0 && len(names) > 0 {
		return nil, fmt.Errorf("envFrom may bring %s; write it in env with its valueFrom", names[0])
	}
	return nil, nil
}

// openValue is a variable of the exporter with what is no secret, or nil.
func openValue(c *corev1.Container, name string, v policy.Value) (*corev1.EnvVar, error) {
	for _, from := range v.From {
		i := lastEnv(c, from)
		switch {
		case i < 0 && lastEnv(c, from+"_FILE") >= 0:
			return nil, fmt.Errorf("the app reads %s from a file, which the exporter doesn't see", from)
		case i < 0:
			continue
		case envfile.HasPlaceholder(c.Env[i].Value):
			return nil, fmt.Errorf("%s comes from Key Vault by exec, which the exporter doesn't see", from)
		case c.Env[i].ValueFrom != nil:
			source, err := copyable(c.Env[i])
			return &corev1.EnvVar{Name: name, ValueFrom: source}, err
		case strings.Contains(c.Env[i].Value, "$("):
			return nil, fmt.Errorf("%s is made of other variables, which the exporter doesn't have", from)
		case c.Env[i].Value != "":
			return &corev1.EnvVar{Name: name, Value: c.Env[i].Value}, nil
		}
	}
	if len(c.EnvFrom) > 0 && len(v.From) > 0 {
		return nil, fmt.Errorf("envFrom may bring %s; write it in env", v.From[0])
	}
	if v.Default == "" {
		return nil, nil
	}
	return &corev1.EnvVar{Name: name, Value: v.Default}, nil
}

func copyable(e corev1.EnvVar) (*corev1.EnvVarSource, error) {
	if from := e.ValueFrom; from.SecretKeyRef == nil && from.ConfigMapKeyRef == nil && from.FileKeyRef == nil {
		return nil, fmt.Errorf("%s has a source that can't be copied", e.Name)
	}
	return e.ValueFrom.DeepCopy(), nil
}
