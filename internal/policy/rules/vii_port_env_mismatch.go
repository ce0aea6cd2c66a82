package rules

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/policy"
)

// port-env-mismatch
//
//	restricted: env[*].value of variables by which frameworks take their port, and containers[*].ports
//	allowed:    no ports; one of several that is declared; a port of another host; values that only the running pod knows
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "port-env-mismatch", Factor: "VII", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title:   "The app is told to listen on another port than the container declares",
			Why:     "The app listens where its environment says. The Service, the probes and the NetworkPolicy go where the spec says, and find nobody there: connection refused.",
			Fix:     "Make both the same.",
			Allowed: "Containers without ports; a list of which one port is declared; port 0; SERVER_PORT beside a SERVER_HOST that is another machine; values that come from elsewhere (valueFrom, $(VAR)); Jobs. Looked at are PORT, SERVER_PORT, HTTP_PORTS, ASPNETCORE_HTTP_PORTS, ASPNETCORE_HTTPS_PORTS and ASPNETCORE_URLS.",
			Example: "env:\n- {name: ASPNETCORE_HTTP_PORTS, value: \"8080\"}\nports:\n- {name: http, containerPort: 8080}\nreadinessProbe:\n  httpGet: {path: /ready, port: http}\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			for _, c := range s.Containers(Main, Sidecar) {
				if len(c.Ports) == 0 {
					continue
				}
				declared := func(port int32) bool {
					return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.ContainerPort == port })
				}
				for _, e := range c.Env {
					ports := listens(e)
					if len(ports) == 0 || slices.ContainsFunc(ports, declared) || c.connects(e.Name) {
						continue
					}
					report(Violation{Path: c.EnvPath(e.Name), Container: c.Name, Message: fmt.Sprintf("the app listens on %d, which is none of the container's ports", ports[0]),
						Fix: fmt.Sprintf("write port %d there, or declare the other: ports: [{name: http, containerPort: %d}]", c.Ports[0].ContainerPort, ports[0])})
				}
			}
		},
	})
}

// listens are the ports that a variable tells an app to listen on.
func listens(e corev1.EnvVar) []int32 {
	var texts []string
	switch e.Name {
	case "PORT", "SERVER_PORT":
		texts = []string{e.Value}
	case "HTTP_PORTS", "ASPNETCORE_HTTP_PORTS", "ASPNETCORE_HTTPS_PORTS":
		texts = strings.Split(e.Value, ";")
	case "ASPNETCORE_URLS":
		for _, text := range strings.Split(e.Value, ";") {
			text = strings.NewReplacer("://+", "://any", "://*", "://any").Replace(strings.TrimSpace(text))
			if u, err := url.Parse(text); err == nil {
				texts = append(texts, u.Port())
			}
		}
	}
	var ports []int32
	for _, text := range texts {
		if n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16); err == nil && n > 0 {
			ports = append(ports, int32(n))
		}
	}
	return ports
}

// connects says whether the variable is the port of another machine, whose name stands beside it: DB_HOST and DB_PORT.
func (c Container) connects(name string) bool {
	prefix, ok := strings.CutSuffix(name, "PORT")
	if !ok {
		return false
	}
	i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == prefix+"HOST" })
	if i < 0 {
		return false
	}
	host := c.Env[i].Value
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err != nil && host != "" && host != "localhost" && host != "*"
}
