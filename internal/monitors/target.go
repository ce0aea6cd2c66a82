package monitors

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The labels that Prometheus' discovery gives to targets, as far as they follow from a pod before it runs.
const (
	namespaceLabel        = "__meta_kubernetes_namespace"
	serviceName           = "__meta_kubernetes_service_name"
	servicePortName       = "__meta_kubernetes_endpoint_port_name"
	containerName         = "__meta_kubernetes_pod_container_name"
	containerPortName     = "__meta_kubernetes_pod_container_port_name"
	containerPortNumber   = "__meta_kubernetes_pod_container_port_number"
	containerPortProtocol = "__meta_kubernetes_pod_container_port_protocol"

	podLabel             = "__meta_kubernetes_pod_label_"
	podLabelPresent      = "__meta_kubernetes_pod_labelpresent_"
	podAnnotation        = "__meta_kubernetes_pod_annotation_"
	podAnnotationPresent = "__meta_kubernetes_pod_annotationpresent_"
)

// rule keeps or drops targets. A label without a name is one that nobody knows.
type rule struct {
	keep      bool
	labels    []string
	separator string
	regex     *regexp.Regexp
}

// ownAnnotations begin the names of the annotations, as labels, that mark a pod for scraping.
var ownAnnotations = []string{"prometheus_io_", "k8s_grafana_com_"}

// byAnnotation says whether the rules keep only pods that are annotated for scraping.
func byAnnotation(rules []rule) bool {
	return slices.ContainsFunc(rules, func(r rule) bool {
		return r.keep && slices.ContainsFunc(r.labels, func(label string) bool {
			name := strings.TrimPrefix(strings.TrimPrefix(label, podAnnotation), podAnnotationPresent)
			return name != label && slices.ContainsFunc(ownAnnotations, func(own string) bool { return strings.HasPrefix(name, own) })
		})
	})
}

// target is something that Prometheus would scrape if no rule dropped it.
type target struct {
	pod    *corev1.Pod
	labels map[string]string // those that are not the pod's own
}

// keptBy says whether the target survives the rules. A rule on something that can't be known yet drops nothing: a second
// scrape is worse than a missing annotation.
func (t *target) keptBy(rules []rule) bool {
	for _, r := range rules {
		values, known := make([]string, len(r.labels)), true
		for i, label := range r.labels {
			var ok bool
			values[i], ok = t.value(label)
			known = known && ok
		}
		if known && r.regex.MatchString(strings.Join(values, r.separator)) != r.keep {
			return false
		}
	}
	return true
}

func (t *target) value(label string) (value string, known bool) {
	if value, known = t.labels[label]; known {
		return value, true
	}
	for _, part := range []struct {
		prefix  string
		of      map[string]string
		present bool
	}{
		{podLabel, t.pod.Labels, false}, {podLabelPresent, t.pod.Labels, true},
		{podAnnotation, t.pod.Annotations, false}, {podAnnotationPresent, t.pod.Annotations, true},
	} {
		name, ok := strings.CutPrefix(label, part.prefix)
		if !ok {
			continue
		}
		for key, value := range part.of {
			if labelName(key) == name {
				if part.present {
					return "true", true
				}
				return value, true
			}
		}
		return "", true
	}
	return "", false
}

// labelName is a key as Prometheus writes it into the name of a label.
func labelName(key string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, key)
}

// podTargets are a pod's ports, and its containers that declare none.
func podTargets(namespace string, pod *corev1.Pod) []target {
	targets := []target{}
	for _, c := range running(pod) {
		for _, p := range c.Ports {
			targets = append(targets, target{pod, portLabels(namespace, c.Name, p)})
		}
		if len(c.Ports) == 0 {
			targets = append(targets, target{pod, map[string]string{namespaceLabel: namespace, containerName: c.Name,
				containerPortName: "", containerPortNumber: "", containerPortProtocol: ""}})
		}
	}
	return targets
}

func portLabels(namespace, container string, p corev1.ContainerPort) map[string]string {
	protocol := string(p.Protocol)
	if protocol == "" {
		protocol = string(corev1.ProtocolTCP)
	}
	return map[string]string{namespaceLabel: namespace, containerName: container, containerPortName: p.Name,
		containerPortNumber: strconv.Itoa(int(p.ContainerPort)), containerPortProtocol: protocol}
}

// running are the containers that run as long as the pod does.
func running(pod *corev1.Pod) []corev1.Container {
	all := slices.Clone(pod.Spec.Containers)
	for _, c := range pod.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			all = append(all, c)
		}
	}
	return all
}

// service is what counts of a Service.
type service struct {
	name     string
	labels   map[string]string
	selector labels.Selector
	ports    []corev1.ServicePort
}

// targets are the Service's ports at a pod, and the pod's other ports, which Prometheus finds too.
func (s *service) targets(namespace string, pod *corev1.Pod) (targets []target) {
	own := podTargets(namespace, pod)
	covered := map[string]bool{}
	for _, p := range s.ports {
		name, number := p.TargetPort.StrVal, ""
		if p.TargetPort.Type == intstr.Int {
			number = strconv.Itoa(int(p.TargetPort.IntVal))
			if p.TargetPort.IntVal == 0 {
				number = strconv.Itoa(int(p.Port))
			}
		}
		i := slices.IndexFunc(own, func(t target) bool {
			return number != "" && t.labels[containerPortNumber] == number || number == "" && t.labels[containerPortName] == name
		})
		if i < 0 && number == "" {
			continue // the pod has no such port
		}
		labels := map[string]string{namespaceLabel: namespace, serviceName: s.name, servicePortName: p.Name,
			containerName: "", containerPortName: "", containerPortNumber: "", containerPortProtocol: ""}
		if i >= 0 {
			covered[own[i].labels[containerPortNumber]] = true
			for key, value := range own[i].labels {
				labels[key] = value
			}
		}
		targets = append(targets, target{pod, labels})
	}
	for _, t := range own {
		if number := t.labels[containerPortNumber]; number != "" && !covered[number] {
			t.labels[serviceName], t.labels[servicePortName] = s.name, ""
			targets = append(targets, t)
		}
	}
	return targets
}
