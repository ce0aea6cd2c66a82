package mutate

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/shell"
)

const gunicornArgs = "GUNICORN_CMD_ARGS"

// sendStatsd makes gunicorn send its metrics to the exporter. What else sends statsd must know the port by itself.
func (c *Context) sendStatsd(at *endpoint, exporter *corev1.Container, port int32) error {
	exporter.Ports = append(exporter.Ports, corev1.ContainerPort{ContainerPort: port, Protocol: corev1.ProtocolUDP})
	get := at.app.Get()
	if !runsGunicorn(get) {
		return nil
	}
	own, _ := plainEnv(get, gunicornArgs)
	if target, sends := statsdHost(strings.Join(append(append(slices.Clone(get.Command), get.Args...), own), " ")); sends {
		if _, ownPort, _ := strings.Cut(target, ":"); ownPort != fmt.Sprint(port) {
			return fmt.Errorf("the app sends its metrics to %s, the exporter listens on %d", quoted(target), port)
		}
		return nil
	}
	return appendEnv(at.app, gunicornArgs, " ", fmt.Sprintf("--statsd-host=127.0.0.1:%d", port))
}

// statsdHost is the argument of gunicorn's --statsd-host.
func statsdHost(arguments string) (string, bool) {
	_, after, found := strings.Cut(arguments, "--statsd-host")
	if words := strings.FieldsFunc(after, func(r rune) bool { return strings.ContainsRune(" =\t\n'\"", r) }); found && len(words) > 0 {
		return words[0], true
	}
	return "", found
}

// runsGunicorn says whether a container shows that it runs gunicorn.
func runsGunicorn(get *corev1.Container) bool {
	return lastEnv(get, gunicornArgs) >= 0 || slices.ContainsFunc(shell.Parse(append(slices.Clone(get.Command), get.Args...)), func(c shell.Command) bool {
		module := slices.Index(c.Words, "-m")
		return c.Name() == "gunicorn" || module > 0 && module+1 < len(c.Words) && c.Words[module+1] == "gunicorn"
	})
}
