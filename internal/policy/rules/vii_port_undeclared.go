package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"twelvefold.dev/internal/policy"
)

// port-undeclared
//
//	restricted: the ports of containers[*] probes, and those of native sidecars; targetPort of Services that select the pod
//	allowed:    ports that any container of the pod declares; exec probes; another host; a mesh's own probes; headless Services
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "port-undeclared", Factor: "VII", Levels: policy.At(policy.Warn), Repair: policy.ByDefault},
		Page: policy.Page{
			Title: "A probe or a Service asks a port that the pod doesn't declare",
			Why:   "The app's contract with the world is its ports. Services, NetworkPolicies, service meshes, monitors and people read them from the spec; what is not there, they don't find. A probe by a port's name fails for ever if the container has no port of that name, and a Service by such a name sends no request to the pod.",
			Fix:   "Declare the port with a name, and use the name in the probe and as the Service's targetPort.",
			Allowed: "Containers without probes; probes that run a command or ask another host; numbers that another container of the pod declares; probes that Istio has redirected; Jobs. Health checks by their usual paths (/healthz, /livez, /readyz) on a port of their own are only audited. Services that are headless or external, whose ports send nothing anywhere; a name that another workload behind the same Service has; pods whose container a mesh puts in (image: auto). " +
				"Services are looked at by the command line, among the given objects, and by the background scan; admission sees one object, and judges probes only.",
			Repair:  "The port that a probe asks is declared, without a name. Not on the node's network, where it would take the node's port; nor where only the kubelet asks it (a worker's liveness), or the app's environment names another; nor where monitoring by annotation or a PodMonitor makes a target of each port that is declared, nor where Consul takes the first for the app's.",
			Example: "ports:\n- {name: http, containerPort: 8080}\nreadinessProbe:\n  httpGet: {path: /ready, port: http}\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			told := map[int32]bool{}
			checkProbedPorts(s, func(v Violation, port intstr.IntOrString) {
				told[port.IntVal] = true
				report(v)
			})
			checkServedPorts(s, told, report)
		},
		Mend: mendPortUndeclared,
	})
}

func checkProbedPorts(s *Subject, report func(Violation, intstr.IntOrString)) {
	for _, c := range s.Containers(Main, Sidecar) {
		for _, p := range c.probes() {
			port, asks := asked(p.probe)
			if !asks || s.declares(c, port) {
				continue
			}
			name := "name: health, "
			if slices.Contains(c.portNames(), "health") {
				name = ""
			}
			v := c.At(p.field, fmt.Sprintf("asks port %s, which the container doesn't declare", port.String()),
				fmt.Sprintf("add ports: [{%scontainerPort: %d}]", name, port.IntVal))
			if p.probe.HTTPGet != nil && slices.Contains(healthPaths, p.probe.HTTPGet.Path) {
				v.Max = policy.Audit // a port for the kubelet alone, which finds it
			}
			if port.Type == intstr.String {
				v.Max = policy.Off
				v.Message = fmt.Sprintf("asks a port by the name %q, which none of the container's ports has: it fails for ever", port.StrVal)
				v.Fix = fmt.Sprintf("add ports: [{name: %s, containerPort: <number>}]", port.StrVal)
			}
			report(v, port)
			break // its other probes ask the same, most likely
		}
	}
}

// checkServedPorts looks at the Services in front of the pod, where they are known. A number that a probe asks as well has
// been told of.
func checkServedPorts(s *Subject, told map[int32]bool, report func(Violation)) {
	mains, ends := s.Containers(Main), s.Pod.Spec.RestartPolicy
	if ends == corev1.RestartPolicyNever || ends == corev1.RestartPolicyOnFailure {
		return // a test or a task with the labels of its app
	}
	if len(mains) == 0 || slices.ContainsFunc(s.Pod.Spec.Containers, func(c corev1.Container) bool { return c.Image == "auto" }) {
		return
	}
	named := mains[0].portNames()
	free := func(name string) string { // the first name that no port of the container has, to be written before its number
		for _, name := range []string{name, "http"} {
			if name != "" && len(name) <= 15 && !slices.Contains(named, name) {
				named = append(named, name)
				return "name: " + name + ", "
			}
		}
		return ""
	}
	services, _ := s.services()
	for _, service := range services {
		if service.Spec.ClusterIP == corev1.ClusterIPNone {
			continue
		}
		for _, p := range service.Spec.Ports {
			port := p.TargetPort
			if port.Type == intstr.Int && port.IntVal == 0 {
				port = intstr.FromInt32(p.Port)
			}
			if !possible(port) || offers(&s.Pod.Spec, port, p.Protocol) || port.Type == intstr.Int && told[port.IntVal] {
				continue
			}
			if port.Type == intstr.Int {
				told[port.IntVal] = true
				report(mains[0].At(".ports", fmt.Sprintf("the Service %s sends requests to port %d, which no container declares", service.Name, port.IntVal),
					fmt.Sprintf("add ports: [{%scontainerPort: %d%s}]", free(p.Name), port.IntVal, unlessTCP(p.Protocol))))
			} else if others, known := s.neighbours(); known && !slices.ContainsFunc(others, func(n neighbour) bool {
				return selects(service, n.Template.Labels) && offers(&n.Template.Spec, port, p.Protocol)
			}) {
				v := mains[0].At(".ports", fmt.Sprintf("the Service %s sends requests to the port named %q, which no container has: they fail for ever", service.Name, port.StrVal),
					fmt.Sprintf("add ports: [{name: %s, containerPort: <number>%s}]", port.StrVal, unlessTCP(p.Protocol)))
				if other := protocolOf(&s.Pod.Spec, port.StrVal); other != "" { // a second port of that name would be refused
					v.Message = fmt.Sprintf("the Service %s sends %s to the port named %q, which is for %s: it fails for ever", service.Name, cmp.Or(p.Protocol, corev1.ProtocolTCP), port.StrVal, other)
					v.Fix = fmt.Sprintf("write protocol: %s in the Service, or its targetPort as a number", other)
				}
				named = append(named, port.StrVal)
				report(v)
			}
		}
	}
}

// portNames are the names that another port of the container can't have.
func (c Container) portNames() (names []string) {
	for _, p := range c.Ports {
		names = append(names, p.Name)
	}
	return names
}

// unlessTCP is what to write of a protocol behind a port; nothing of the usual one.
func unlessTCP(protocol corev1.Protocol) string {
	if cmp.Or(protocol, corev1.ProtocolTCP) == corev1.ProtocolTCP {
		return ""
	}
	return ", protocol: " + string(protocol)
}

// protocolOf is the protocol of the port that has a name; empty if none has it.
func protocolOf(pod *corev1.PodSpec, name string) corev1.Protocol {
	for _, c := range pod.Containers {
		for _, p := range c.Ports {
			if p.Name == name {
				return cmp.Or(p.Protocol, corev1.ProtocolTCP)
			}
		}
	}
	return ""
}

// offers says whether a container that runs as long as the pod has the port of a Service: a name counts for its protocol, as
// Kubernetes looks for it.
func offers(pod *corev1.PodSpec, port intstr.IntOrString, protocol corev1.Protocol) bool {
	containers := slices.Clone(pod.Containers)
	for _, c := range pod.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(containers, c)
		}
	}
	return slices.ContainsFunc(containers, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool {
			if port.Type == intstr.Int {
				return p.ContainerPort == port.IntVal
			}
			return p.Name == port.StrVal && cmp.Or(p.Protocol, corev1.ProtocolTCP) == cmp.Or(protocol, corev1.ProtocolTCP)
		})
	})
}

// healthPaths are what operators and servers answer on a port of their own, which nobody but the kubelet asks.
var healthPaths = []string{"/healthz", "/livez", "/readyz", "/healthz/ready", "/healthz/live", "/ping", "/actuator/health/liveness", "/actuator/health/readiness"}

// asked is the port of the pod that a probe asks, if there is such a port: the API server refuses others.
func asked(p *corev1.Probe) (port intstr.IntOrString, ok bool) {
	port, ok = probed(p)
	return port, ok && possible(port)
}

// possible says whether a port can be declared; a name can, by some number.
func possible(port intstr.IntOrString) bool {
	return port.Type == intstr.String || len(validation.IsValidPortNum(int(port.IntVal))) == 0
}

// probed is what a probe says of the port of the pod that it asks.
func probed(p *corev1.Probe) (port intstr.IntOrString, ok bool) {
	switch {
	case p.HTTPGet != nil:
		return p.HTTPGet.Port, p.HTTPGet.Host == "" && !strings.HasPrefix(p.HTTPGet.Path, "/app-health/") // Istio's
	case p.TCPSocket != nil:
		return p.TCPSocket.Port, p.TCPSocket.Host == ""
	case p.GRPC != nil:
		return intstr.FromInt32(p.GRPC.Port), true
	}
	return port, false
}

// declares says whether a port is known: by its name in the container itself, as the kubelet looks for it, or by its
// number in any.
func (s *Subject) declares(c Container, port intstr.IntOrString) bool {
	if port.Type == intstr.String {
		return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == port.StrVal })
	}
	for _, other := range slices.Concat(s.Pod.Spec.InitContainers, s.Pod.Spec.Containers) {
		if slices.ContainsFunc(other.Ports, func(p corev1.ContainerPort) bool { return p.ContainerPort == port.IntVal }) {
			return true
		}
	}
	return false
}

// mendPortUndeclared is safe: a declared port is information. It opens nothing, and what a NetworkPolicy, a mesh or a
// Service says by a port's number held before. What is said by name can't hold for a port without one. A PodMonitor that
// asks for this very number gets what it asks for. What takes any declared port for something of its own is left out.
func mendPortUndeclared(s *Subject, done func(Repaired)) {
	if s.Pod.Spec.HostNetwork {
		return
	}
	for _, c := range s.Containers(Main, Sidecar) {
		for _, p := range append(c.probes(), c.probes()...) { // once more, beside what was declared
			port, asks := asked(p.probe)
			if !asks || port.Type == intstr.String || s.declares(c, port) {
				continue
			}
			if c.misread(port.IntVal) {
				continue
			}
			if s.portsAreTargets() {
				return
			}
			c.edit.AddPort(corev1.ContainerPort{ContainerPort: port.IntVal})
			done(c.repaired(p.field, fmt.Sprintf("port %d is declared", port.IntVal)))
		}
	}
}

// misread says whether a port that is declared would tell more than its probe does: that a worker whose liveness alone is
// asked serves clients, that an app which listens elsewhere listens here, or that people log in.
func (c Container) misread(port int32) bool {
	if c.ReadinessProbe == nil && !slices.ContainsFunc(c.Ports, isService) || port == 22 {
		return true
	}
	return len(c.Ports) == 0 && slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool {
		ports := listens(e)
		return len(ports) > 0 && !slices.Contains(ports, port)
	})
}

// portsAreTargets says whether somebody scrapes each port that is declared, counts them, or takes the first for the app's
// own. An annotation for the port may be ours once the pod has been here: then it narrows down nothing that its team wrote.
func (s *Subject) portsAreTargets() bool {
	_, seen := s.Pod.Annotations[policy.StatusAnnotation]
	for _, words := range [][]string{{"prometheus.io/scrape", "prometheus.io/port"}, {"k8s.grafana.com/scrape", "k8s.grafana.com/metrics.portNumber", "k8s.grafana.com/metrics.portName"}} {
		narrow := slices.ContainsFunc(words[1:], func(key string) bool { return s.Pod.Annotations[key] != "" })
		if s.Pod.Annotations[words[0]] == "true" && (!narrow || seen) {
			return true
		}
	}
	for key, value := range s.Pod.Annotations {
		_, name, _ := strings.Cut(key, "/")
		if name != "scrape" && strings.Contains(name, "scrape") && value == "true" || // prometheus.io/scrape-slow
			name == "scrape" && value == "true" && !strings.HasPrefix(key, "prometheus.io/") && !strings.HasPrefix(key, "k8s.grafana.com/") { // a convention of the house
			return true
		}
		if strings.HasPrefix(key, "consul.hashicorp.com/connect-inject") && s.Pod.Annotations["consul.hashicorp.com/connect-service-port"] == "" { // the first one
			return true
		}
		if strings.HasPrefix(key, "ad.datadoghq.com/") && strings.Contains(value, "%%port") || // its highest one
			strings.HasPrefix(key, "co.elastic.") && strings.Contains(value, "data.port") ||
			strings.HasPrefix(key, "io.opentelemetry.discovery.metrics/") {
			return true
		}
	}
	return s.Facts.Monitored != nil && strings.HasPrefix(s.Facts.Monitored(s.Pod), "PodMonitor ")
}
