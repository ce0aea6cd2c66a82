package mutate

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/keyvault/envfile"
	"twelvefold.dev/internal/podpatch"
)

const profileAnnotation = "twelvefold.dev/metrics-profile"

// profile is a framework that serves metrics once its settings say so. Settings in env replace those of the app's own
// files, so a profile is on only where the policy or the pod asks for it.
type profile struct {
	name     string
	path     string
	prefixes []string // of variables that only such apps have
	example  string   // one of them
	ports    []string // variables that hold the port, the surest first
	flags    []string // the same on the command line
	portName string   // of a declared port that is surely it
	own      int32    // the port that it opens for metrics alone, set by the first of ports
	settings []corev1.EnvVar
	// wants are settings whose value may also be another, if it holds this word.
	wants map[string]string
}

// profiles: https://docs.spring.io/spring-boot, https://quarkus.io/guides/telemetry-micrometer,
// https://micronaut-projects.github.io/micronaut-micrometer, https://opentelemetry.io/docs/languages/sdk-configuration.
var profiles = []profile{
	{
		name: "spring-boot", path: "/actuator/prometheus",
		prefixes: []string{"SPRING_", "MANAGEMENT_"}, example: "SPRING_APPLICATION_NAME",
		ports:    []string{"MANAGEMENT_SERVER_PORT", "SERVER_PORT"},
		flags:    []string{"management.server.port", "server.port"},
		portName: "management",
		settings: []corev1.EnvVar{
			{Name: "MANAGEMENT_ENDPOINTS_WEB_EXPOSURE_INCLUDE", Value: "health,info,prometheus"},
			{Name: "MANAGEMENT_PROMETHEUS_METRICS_EXPORT_ENABLED", Value: "true"}, // 3.x
			{Name: "MANAGEMENT_METRICS_EXPORT_PROMETHEUS_ENABLED", Value: "true"}, // 2.x
		},
		wants: map[string]string{"MANAGEMENT_ENDPOINTS_WEB_EXPOSURE_INCLUDE": "prometheus"},
	},
	{
		name: "quarkus", path: "/q/metrics",
		prefixes: []string{"QUARKUS_"}, example: "QUARKUS_HTTP_PORT",
		ports:    []string{"QUARKUS_MANAGEMENT_PORT", "QUARKUS_HTTP_PORT"},
		flags:    []string{"quarkus.management.port", "quarkus.http.port"},
		portName: "management",
	},
	{
		name: "micronaut", path: "/prometheus",
		prefixes: []string{"MICRONAUT_"}, example: "MICRONAUT_SERVER_PORT",
		ports: []string{"ENDPOINTS_ALL_PORT", "MICRONAUT_SERVER_PORT"},
		flags: []string{"endpoints.all.port", "micronaut.server.port"},
		settings: []corev1.EnvVar{
			{Name: "MICRONAUT_METRICS_ENABLED", Value: "true"},
			{Name: "MICRONAUT_METRICS_EXPORT_PROMETHEUS_ENABLED", Value: "true"},
			{Name: "ENDPOINTS_PROMETHEUS_ENABLED", Value: "true"},
			{Name: "ENDPOINTS_PROMETHEUS_SENSITIVE", Value: "false"},
		},
		wants: map[string]string{"MICRONAUT_METRICS_ENABLED": "true", "MICRONAUT_METRICS_EXPORT_PROMETHEUS_ENABLED": "true",
			"ENDPOINTS_PROMETHEUS_ENABLED": "true", "ENDPOINTS_PROMETHEUS_SENSITIVE": "false"},
	},
	{
		name: "opentelemetry", path: "/metrics",
		prefixes: []string{"OTEL_"}, example: "OTEL_SERVICE_NAME",
		ports: []string{"OTEL_EXPORTER_PROMETHEUS_PORT"}, own: 9464,
		settings: []corev1.EnvVar{
			{Name: "OTEL_METRICS_EXPORTER", Value: "prometheus"},
			{Name: "OTEL_EXPORTER_PROMETHEUS_HOST", Value: "0.0.0.0"},
		},
		wants: map[string]string{"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_HOST": "0.0.0.0"},
	},
}

func profileNamed(name string) *profile {
	for i := range profiles {
		if profiles[i].name == name {
			return &profiles[i]
		}
	}
	return nil
}

func profileNames() (names []string) {
	for _, p := range profiles {
		names = append(names, p.name)
	}
	return names
}

// profileOf is the policy's profile that a container shows by its env, or nil.
func (c *Context) profileOf(get *corev1.Container) *profile {
	if _, set := c.Annotation(profileAnnotation); set { // none, or another container's
		return nil
	}
	for _, name := range c.Policy.Spec().Metrics.Profiles {
		if p := profileNamed(name); p != nil && p.shownBy(get) {
			return p
		}
	}
	return nil
}

func (p *profile) shownBy(get *corev1.Container) bool {
	return slices.ContainsFunc(get.Env, func(e corev1.EnvVar) bool {
		return slices.ContainsFunc(p.prefixes, func(prefix string) bool { return strings.HasPrefix(e.Name, prefix) })
	})
}

// switchOn gives an app the settings of its profile, as far as it has none of its own. An error says why it can't; then
// nothing was changed.
func (c *Context) switchOn(e *endpoint) error {
	p, get := e.profile, e.app.Get()
	var missing []corev1.EnvVar
	for _, setting := range p.settings {
		switch i := lastEnv(get, setting.Name); {
		case i >= 0 && get.Env[i].ValueFrom != nil:
			return fmt.Errorf("the app's own %s comes from elsewhere, so nothing tells what it is", setting.Name)
		case i >= 0 && p.wants[setting.Name] != "" && !holdsWord(get.Env[i].Value, p.wants[setting.Name]):
			return fmt.Errorf("the app's own %s is %s; add %s to it", setting.Name, quoted(get.Env[i].Value), p.wants[setting.Name])
		case i < 0:
			missing = append(missing, setting)
		}
	}
	if e.port == 0 {
		port, err := p.port(get)
		if err != nil {
			return err
		}
		if port == 0 && p.own > 0 {
			if c.Edit.Pod().Spec.HostNetwork {
				return errors.New("with hostNetwork its port would be one of the node's")
			}
			if port, err = c.freePort(p.own, true); err != nil {
				return err
			}
			missing = append(missing, corev1.EnvVar{Name: p.ports[0], Value: strconv.Itoa(int(port))})
		}
		e.port = port
		if base, ok := plainEnv(get, "MANAGEMENT_ENDPOINTS_WEB_BASE_PATH"); ok && p.name == "spring-boot" && strings.HasPrefix(base, "/") {
			e.path = strings.TrimSuffix(base, "/") + "/prometheus"
		}
	}
	for _, setting := range missing {
		e.app.InsertEnv(len(e.app.Get().Env), setting)
	}
	c.Done("%s: profile %s: %d%s (%s)", e.name, p.name, e.port, e.path, e.why)
	return nil
}

// port is where the app serves its metrics; 0 if it would open a port of its own for them.
func (p *profile) port(get *corev1.Container) (int32, error) {
	for i, flag := range p.flags {
		for _, word := range append(slices.Clone(get.Command), get.Args...) {
			value, found := strings.CutPrefix(word, "--"+flag+"=")
			if !found {
				value, found = strings.CutPrefix(word, "-D"+flag+"=")
			}
			if port, ok := parsePort(value); ok {
				return port, nil
			} else if found {
				return 0, fmt.Errorf("the command's %s is no plain port", flag)
			}
		}
		if port, err := portIn(get, p.ports[i]); err != nil || port > 0 {
			return port, err
		}
	}
	if p.own > 0 {
		return portIn(get, p.ports[0])
	}
	if len(get.EnvFrom) > 0 {
		return 0, fmt.Errorf("envFrom may bring %s; write it in env", p.ports[0])
	}
	var declared []corev1.ContainerPort
	for _, port := range get.Ports {
		if tcp(port) {
			declared = append(declared, port)
		}
	}
	for _, name := range []string{p.portName, "metrics", "http-metrics", "prometheus", "http"} {
		for _, port := range declared {
			if port.Name == name && name != "" {
				return port.ContainerPort, nil
			}
		}
	}
	if len(declared) == 1 {
		return declared[0].ContainerPort, nil
	}
	return 0, fmt.Errorf("nothing tells its port; name the port http, or set %s", p.ports[len(p.ports)-1])
}

// portIn is the port in a variable, or 0 without it.
func portIn(get *corev1.Container, name string) (int32, error) {
	i := lastEnv(get, name)
	if i < 0 {
		return 0, nil
	}
	port, ok := parsePort(get.Env[i].Value)
	if !ok {
		return 0, fmt.Errorf("%s is no plain port", name)
	}
	return port, nil
}

// lastEnv is the index of a variable, or -1. Of duplicates the last holds.
func lastEnv(get *corev1.Container, name string) int {
	for i := len(get.Env) - 1; i >= 0; i-- {
		if get.Env[i].Name == name {
			return i
		}
	}
	return -1
}

// plainEnv is a variable's value, if that stands in the pod.
func plainEnv(get *corev1.Container, name string) (string, bool) {
	i := lastEnv(get, name)
	if i < 0 || get.Env[i].ValueFrom != nil || envfile.HasPlaceholder(get.Env[i].Value) {
		return "", false
	}
	return get.Env[i].Value, true
}

// holdsWord says whether a list has a word, or * for every one.
func holdsWord(list, word string) bool {
	return slices.ContainsFunc(strings.Split(list, ","), func(item string) bool {
		item = strings.Trim(strings.TrimSpace(item), `"'`)
		return item == word || item == "*"
	})
}

// appendEnv appends text to a variable that lists options. An error says why it can't; then nothing was changed.
func appendEnv(app *podpatch.Container, name, separator, text string) error {
	get := app.Get()
	switch i := lastEnv(get, name); {
	case i < 0 && len(get.EnvFrom) > 0:
		return fmt.Errorf("envFrom may bring %s, which would be replaced; write it in env", name)
	case i < 0:
		app.InsertEnv(len(get.Env), corev1.EnvVar{Name: name, Value: text})
	case get.Env[i].ValueFrom != nil || envfile.HasPlaceholder(get.Env[i].Value):
		return fmt.Errorf("%s comes from elsewhere, so nothing can be appended; write it as text", name)
	case get.Env[i].Value == "":
		app.SetEnvValue(i, text)
	default:
		app.SetEnvValue(i, get.Env[i].Value+separator+text)
	}
	return nil
}
