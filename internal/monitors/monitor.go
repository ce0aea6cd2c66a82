package monitors

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// monitor is what counts of a PodMonitor or ServiceMonitor.
type monitor struct {
	kind, name string // name is the kind, too
	namespaces []string
	selector   labels.Selector // of pods, or of Services
	endpoints  [][]rule
}

// spec is the part of a monitor's spec that says what is scraped.
type spec struct {
	Selector          metav1.LabelSelector `json:"selector"`
	NamespaceSelector struct {
		Any        bool     `json:"any"`
		MatchNames []string `json:"matchNames"`
	} `json:"namespaceSelector"`
	PodMetricsEndpoints []endpoint `json:"podMetricsEndpoints"`
	Endpoints           []endpoint `json:"endpoints"`
}

type endpoint struct {
	Port        string              `json:"port"`
	PortNumber  int32               `json:"portNumber"`
	TargetPort  *intstr.IntOrString `json:"targetPort"`
	Relabelings []relabeling        `json:"relabelings"`
}

// relabeling is a step of Prometheus' relabelling. Only its keep and drop matter here.
type relabeling struct {
	SourceLabels []string `json:"sourceLabels"`
	Separator    *string  `json:"separator"`
	TargetLabel  string   `json:"targetLabel"`
	Regex        *string  `json:"regex"`
	Action       string   `json:"action"`
}

// parse reads a monitor; nil if it scrapes nothing, or only what is annotated: such a monitor reads what Twelvefold writes.
func parse(o *unstructured.Unstructured) (*monitor, error) {
	m := &monitor{kind: o.GetKind(), name: fmt.Sprintf("%s %s/%s", o.GetKind(), o.GetNamespace(), o.GetName())}
	content, _, err := unstructured.NestedMap(o.Object, "spec")
	var s spec
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(content, &s)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: spec: %w", m.name, err)
	}
	if m.selector, err = metav1.LabelSelectorAsSelector(&s.Selector); err != nil {
		return nil, fmt.Errorf("%s: spec.selector: %w", m.name, err)
	}
	switch {
	case s.NamespaceSelector.Any:
		m.namespaces = []string{""}
	case len(s.NamespaceSelector.MatchNames) > 0:
		m.namespaces = s.NamespaceSelector.MatchNames
	default:
		m.namespaces = []string{o.GetNamespace()}
	}
	field, endpoints, portLabel := "podMetricsEndpoints", s.PodMetricsEndpoints, containerPortName
	if m.kind == ServiceMonitor {
		field, endpoints, portLabel = "endpoints", s.Endpoints, servicePortName
	}
	for i, e := range endpoints {
		rules, err := e.rules(portLabel)
		if err != nil {
			return nil, fmt.Errorf("%s: spec.%s[%d]: %w", m.name, field, i, err)
		}
		if !byAnnotation(rules) {
			m.endpoints = append(m.endpoints, rules)
		}
	}
	if len(m.endpoints) == 0 {
		return nil, nil
	}
	return m, nil
}

// rules are those of the relabelling that keep or drop targets, after the one that the port stands for.
func (e *endpoint) rules(portLabel string) ([]rule, error) {
	all := e.Relabelings
	if port, label := e.port(portLabel); label != "" {
		all = append([]relabeling{{SourceLabels: []string{label}, Regex: &port, Action: "keep"}}, all...)
	}
	var rules []rule
	written := map[string]bool{}
	for _, r := range all {
		action := strings.ToLower(r.Action)
		if action != "keep" && action != "drop" {
			written[r.TargetLabel] = true
			continue
		}
		pattern, separator := "(.*)", ";"
		if r.Regex != nil {
			pattern = *r.Regex
		}
		if r.Separator != nil {
			separator = *r.Separator
		}
		compiled, err := regexp.Compile("^(?s:" + pattern + ")$")
		if err != nil {
			return nil, fmt.Errorf("relabelings: %w", err)
		}
		made := rule{keep: action == "keep", regex: compiled, separator: separator}
		for _, label := range r.SourceLabels {
			if written[label] { // what is in it now is not known
				label = ""
			}
			made.labels = append(made.labels, label)
		}
		rules = append(rules, made)
	}
	return rules, nil
}

// port is the port that an endpoint names, and the label of targets that has it; no label: all ports.
func (e *endpoint) port(nameLabel string) (port, label string) {
	switch {
	case e.Port != "":
		return e.Port, nameLabel
	case e.PortNumber != 0 && nameLabel == containerPortName: // ServiceMonitors have none
		return strconv.Itoa(int(e.PortNumber)), containerPortNumber
	case e.TargetPort != nil && e.TargetPort.Type == intstr.Int && e.TargetPort.IntVal != 0:
		return e.TargetPort.String(), containerPortNumber
	case e.TargetPort != nil && e.TargetPort.Type == intstr.String && e.TargetPort.StrVal != "":
		return e.TargetPort.StrVal, containerPortName
	}
	return "", ""
}

// keepsAny says whether an endpoint keeps one of the targets.
func (m *monitor) keepsAny(targets []target) bool {
	for _, rules := range m.endpoints {
		for i := range targets {
			if targets[i].keptBy(rules) {
				return true
			}
		}
	}
	return false
}
