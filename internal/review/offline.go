package review

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/monitors"
	"twelvefold.dev/internal/policy"
)

var errUnread = errors.New("service accounts can't be read")

// Offline prepares the objects of some manifests for review. What a cluster would know comes from the manifests too:
// the labels of a Namespace among them, the annotations of a ServiceAccount, what else pods refer to. defaults hold for
// all else; its Namespace is that of objects that name none. unread are kinds of which others may be there: what needs
// all of them is not judged.
func Offline(objects []manifest.Object, effective *policy.Policy, defaults policy.Facts, unread ...string) []Input {
	namespaces := map[string]map[string]string{}
	accounts := map[string]map[string]string{}
	byNamespace := map[string][]manifest.Object{}
	for _, o := range objects {
		in := cmp.Or(o.Namespace, defaults.Namespace)
		byNamespace[in] = append(byNamespace[in], o)
		if o.APIVersion != "v1" || o.Kind != "Namespace" && o.Kind != "ServiceAccount" {
			continue
		}
		var meta struct {
			Metadata struct {
				Labels, Annotations map[string]string
			}
		}
		if json.Unmarshal(o.JSON, &meta) != nil {
			continue
		}
		if o.Kind == "Namespace" {
			namespaces[o.Name] = meta.Metadata.Labels
			continue
		}
		known := map[string]string{} // not nil, though it may have none
		maps.Copy(known, meta.Metadata.Annotations)
		accounts[in+"/"+o.Name] = known
	}
	limits := map[string]policy.Defaults{}
	twins := &Twins{}
	for in, objects := range byNamespace {
		limits[in] = policy.DefaultsOf(limitRanges(objects))
		twins.Put(in, objects)
	}
	surroundings := NewSurroundings(objects, defaults.Namespace, unread...)
	monitored := monitorsOf(objects, defaults.Namespace)
	inputs := make([]Input, 0, len(objects))
	for _, o := range objects {
		facts := defaults
		facts.Offline = true
		facts.Namespace = cmp.Or(o.Namespace, defaults.Namespace)
		if labels, ok := namespaces[facts.Namespace]; ok {
			facts.NamespaceLabels = labels
		}
		surroundings.Add(&facts)
		facts.Twins = twins.Of
		facts.Defaults = func() (policy.Defaults, bool) {
			return limits[facts.Namespace], !slices.Contains(unread, "LimitRange")
		}
		facts.Monitored = func(pod *corev1.Pod) string { return monitored.Scrapes(facts.Namespace, pod) }
		inputs = append(inputs, Input{Object: o, Policy: effective, Facts: facts, ServiceAccount: func(name string) (map[string]string, error) {
			if slices.Contains(unread, "ServiceAccount") {
				return nil, errUnread
			}
			return accounts[facts.Namespace+"/"+name], nil
		}})
	}
	return inputs
}

func limitRanges(objects []manifest.Object) (all []corev1.LimitRange) {
	for _, o := range objects {
		var limits corev1.LimitRange
		if o.APIVersion == "v1" && o.Kind == "LimitRange" && json.Unmarshal(o.JSON, &limits) == nil {
			all = append(all, limits)
		}
	}
	return all
}

// monitorsOf are the PodMonitors and ServiceMonitors among the objects, and the Services. What can't be read scrapes nothing.
func monitorsOf(objects []manifest.Object, namespace string) *monitors.Index {
	index := &monitors.Index{}
	feed := index.Open()
	for _, o := range objects {
		if o.APIVersion == "v1" && o.Kind == "Service" {
			service := &corev1.Service{}
			if json.Unmarshal(o.JSON, service) == nil {
				service.Namespace = cmp.Or(service.Namespace, namespace)
				_ = feed.Put(service) // services have no errors
			}
			continue
		}
		monitor := &unstructured.Unstructured{}
		is := func(kind schema.GroupVersionKind) bool {
			return o.APIVersion == kind.GroupVersion().String() && o.Kind == kind.Kind
		}
		if !slices.ContainsFunc(monitors.Kinds(), is) || json.Unmarshal(o.JSON, &monitor.Object) != nil {
			continue
		}
		monitor.SetNamespace(cmp.Or(monitor.GetNamespace(), namespace))
		_ = feed.Put(monitor) // see above
	}
	return index
}
