package rules

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"twelvefold.dev/internal/policy"
)

// objects are those of a kind in the pod's namespace. They are not known in the webhook, nor where they may not be read: a
// rule that needs them then has nothing to say. They are shared with other workloads' judgements.
func objects[T any](s *Subject, kind string) (all []*T, known bool) {
	if s.Facts.Objects == nil {
		return nil, false
	}
	found, known := s.Facts.Objects(kind)
	return policy.Decode[T](found), known
}

// lookup reads an object of the pod's namespace, if it is known.
func (s *Subject) lookup(kind, name string, into any) bool {
	if s.Facts.Object == nil {
		return false
	}
	data := s.Facts.Object(kind, name)
	return data != nil && json.Unmarshal(data, into) == nil
}

// neighbour is a workload that runs for long in the pod's namespace.
type neighbour struct {
	policy.Workload
	Template *corev1.PodTemplateSpec
}

// templated is what is read of a neighbour.
type templated struct {
	Metadata struct{ Name string }
	Spec     struct{ Template corev1.PodTemplateSpec }
}

// neighbours are the Deployments, StatefulSets and DaemonSets of the pod's namespace, its own among them.
func (s *Subject) neighbours() (all []neighbour, known bool) {
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet"} {
		workloads, known := objects[templated](s, kind)
		if !known {
			return nil, false
		}
		for _, w := range workloads {
			all = append(all, neighbour{policy.Workload{Kind: kind, Name: w.Metadata.Name}, &w.Spec.Template})
		}
	}
	return all, true
}

// services are the Services of the pod's namespace that select it.
func (s *Subject) services() (selecting []*corev1.Service, known bool) {
	all, known := objects[corev1.Service](s, "Service")
	for _, service := range all {
		if selects(service, s.Pod.Labels) {
			selecting = append(selecting, service)
		}
	}
	return selecting, known
}

func selects(service *corev1.Service, podLabels map[string]string) bool {
	return len(service.Spec.Selector) > 0 && service.Spec.Type != corev1.ServiceTypeExternalName &&
		labels.ValidatedSetSelector(service.Spec.Selector).Matches(labels.Set(podLabels)) // the API server has validated it
}

// besides ends the pages of rules that need other objects than the pod.
const besides = "The rule looks at objects beside the pod: the command line judges it by the given ones, the background scan by those of the namespace. Admission sees one object and does not judge it."
