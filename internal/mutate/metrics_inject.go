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

func exporterContainer(e *policy.Exporter) string { return "twelvefold-" + e.Name + "-exporter" }

// inject puts an exporter beside its app. An error says why it can't; then nothing was changed.
func (c *Context) inject(at *endpoint) error {
	e := at.exporter
	if why := c.noSidecar(); why != "" {
		return errors.New(why)
	}
	if c.Edit.Pod().Spec.HostNetwork {
		return errors.New("with hostNetwork its port would be one of the node's")
	}
	if e.Image == "" || e.Port == 0 {
		return errors.New("the policy gives it no image or no port")
	}
	appPort, err := appPort(at.app.Get(), e)
	if err != nil {
		return err
	}
	credentials, err := credentials(at.app.Get(), e)
	if err != nil {
		return err
	}
	for _, p := range c.Edit.InitContainers() {
		if get := p.Get(); p.Name() == exporterContainer(e) && runs(p) && len(get.Ports) == 1 {
			at.port = get.Ports[0].ContainerPort
			return nil
		}
	}
	container := exporterSidecarFor(e)
	fill := strings.NewReplacer("$(APP_PORT)", strconv.Itoa(int(appPort)))
	for _, arg := range e.Args {
		container.Args = append(container.Args, fill.Replace(arg))
	}
	if at.port, err = c.freePort(e); err != nil {
		return err
	}
	expects := expects(container.Args)
	if e.PortFlag != "" { // always: the policy may give another port than the image's own
		container.Args = append(container.Args, strings.ReplaceAll(e.PortFlag, "$(ADDRESS)", fmt.Sprintf(":%d", at.port)))
	}
	for _, name := range slices.Sorted(maps.Keys(e.Env)) {
		container.Env = append(container.Env, corev1.EnvVar{Name: name, Value: fill.Replace(e.Env[name])})
	}
	container.Env = append(container.Env, credentials...)
	container.Ports = []corev1.ContainerPort{{ContainerPort: at.port, Protocol: corev1.ProtocolTCP}}
	c.Edit.InsertInitContainer(len(c.Edit.InitContainers()), container) // after whatever brings its credentials
	c.Done("%s: exporter %s on %d (%s)%s", at.name, container.Name, at.port, at.why, expects)
	return nil
}

// exporterSidecarFor is the container without what depends on the app. It has no readiness probe: a broken exporter must
// not take the app out of service.
func exporterSidecarFor(e *policy.Exporter) corev1.Container {
	security := restricted()
	security.RunAsUser = new(e.User)
	return corev1.Container{
		Name:                     exporterContainer(e),
		Image:                    e.Image,
		RestartPolicy:            new(corev1.ContainerRestartPolicyAlways),
		Resources:                smallResources(),
		SecurityContext:          security,
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
}

// expects tells what an exporter relies on: its arguments are the policy's, and hold no secret.
func expects(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return "; it runs with " + strings.Join(args, " ")
}

// freePort is the exporter's port, or one above it if a container has that.
func (c *Context) freePort(e *policy.Exporter) (int32, error) {
	taken := c.takenPorts()
	if !slices.Contains(taken, e.Port) {
		return e.Port, nil
	}
	if e.PortFlag == "" {
		return 0, fmt.Errorf("its port %d is taken, and the policy has no portFlag to move it", e.Port)
	}
	for port := e.Port + 1; port <= min(e.Port+100, 65535); port++ {
		if !slices.Contains(taken, port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("port %d and those above are taken", e.Port)
}

// appPort is where the app listens: as its command says, as it declares, or as such apps do.
func appPort(c *corev1.Container, e *policy.Exporter) (int32, error) {
	words := append(slices.Clone(c.Command), c.Args...)
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
	for _, p := range c.Ports {
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

// credentials are the app's, by reference: a secret that stands in the pod as text is not copied.
func credentials(c *corev1.Container, e *policy.Exporter) ([]corev1.EnvVar, error) {
	var env []corev1.EnvVar
	for _, name := range slices.Sorted(maps.Keys(e.Credentials)) {
		source := e.Credentials[name]
		required := false
		if found := requirepass.FindStringSubmatch(strings.Join(append(slices.Clone(c.Command), c.Args...), " ")); e.Name == "redis" && found != nil {
			required = true
			if source = found[1] + found[2] + found[3]; source == "" {
				return nil, errors.New("--requirepass is given as text; take the password from a secret's variable")
			}
		}
		value, err := credential(c, source)
		if err != nil {
			return nil, err
		}
		if value != nil {
			env = append(env, corev1.EnvVar{Name: name, ValueFrom: value})
		} else if required {
			return nil, fmt.Errorf("--requirepass takes %s, which the container's env doesn't have", source)
		}
	}
	return env, nil
}

// credential is the source of an app's variable, or nil if it has no such variable.
func credential(c *corev1.Container, name string) (*corev1.EnvVarSource, error) {
	var found *corev1.EnvVar
	for i := range c.Env {
		switch c.Env[i].Name {
		case name:
			found = &c.Env[i] // of duplicates the last holds
		case name + "_FILE":
			return nil, fmt.Errorf("the app reads %s from a file, which the exporter doesn't see", name)
		}
	}
	switch {
	case found == nil && len(c.EnvFrom) > 0:
		return nil, fmt.Errorf("envFrom may bring %s; write it in env with its valueFrom", name)
	case found == nil, found.ValueFrom == nil && found.Value == "":
		return nil, nil
	case envfile.HasPlaceholder(found.Value):
		return nil, fmt.Errorf("%s comes from Key Vault by exec, which the exporter doesn't see", name)
	case found.ValueFrom == nil:
		return nil, fmt.Errorf("%s stands in the pod as text; take it from a secret with valueFrom", name)
	case found.ValueFrom.SecretKeyRef == nil && found.ValueFrom.ConfigMapKeyRef == nil && found.ValueFrom.FileKeyRef == nil:
		return nil, fmt.Errorf("%s has a source that can't be copied", name)
	}
	return found.ValueFrom.DeepCopy(), nil
}
