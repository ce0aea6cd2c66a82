package review

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/monitors"
	"twelvefold.dev/internal/policy"
)

// Offline prepares the objects of some manifests for review. What a cluster would know comes from the manifests too:
// the labels of a Namespace among them, the annotations of a ServiceAccount, what else pods refer to. defaults hold for
// all else; its Namespace is that of objects that name none.
func Offline(objects []manifest.Object, effective *policy.Policy, defaults policy.Facts) []Input {
	namespaces := map[string]map[string]string{}
	accounts := map[string]map[string]string{}
	type key struct{ kind, namespace, name string }
	all := map[key][]byte{}
	kinds := map[key][][]byte{} // by kind and namespace
	for _, o := range objects {
		var meta struct {
			Metadata struct {
				Labels, Annotations map[string]string
			}
		}
		if json.Unmarshal(o.JSON, &meta) != nil {
			continue
		}
		if o.Kind != "ConfigMap" || meta.Metadata.Labels[policy.KeyVaultLabel] == "true" { // of others the webhook does not know
			all[key{o.Kind, cmp.Or(o.Namespace, defaults.Namespace), o.Name}] = o.JSON
		}
		kind := key{o.Kind, cmp.Or(o.Namespace, defaults.Namespace), ""}
		kinds[kind] = append(kinds[kind], o.JSON)
		switch {
		case o.APIVersion == "v1" && o.Kind == "Namespace":
			namespaces[o.Name] = meta.Metadata.Labels
		case o.APIVersion == "v1" && o.Kind == "ServiceAccount":
			known := map[string]string{} // not nil, though it may have none
			maps.Copy(known, meta.Metadata.Annotations)
			accounts[cmp.Or(o.Namespace, defaults.Namespace)+"/"+o.Name] = known
		}
	}
	limits := defaultsOf(objects, defaults.Namespace)
	monitored := monitorsOf(objects, defaults.Namespace)
	inputs := make([]Input, 0, len(objects))
	for _, o := range objects {
		facts := defaults
		facts.Offline = true
		facts.Namespace = cmp.Or(o.Namespace, defaults.Namespace)
		if labels, ok := namespaces[facts.Namespace]; ok {
			facts.NamespaceLabels = labels
		}
		facts.Object = func(kind, name string) []byte { return all[key{kind, facts.Namespace, name}] }
		facts.Objects = func(kind string) [][]byte { return kinds[key{kind, facts.Namespace, ""}] }
		facts.Defaults = func() policy.Defaults { return limits[facts.Namespace] }
		facts.Monitored = func(pod *corev1.Pod) string { return monitored.Scrapes(facts.Namespace, pod) }
		inputs = append(inputs, Input{Object: o, Policy: effective, Facts: facts, ServiceAccount: func(name string) (map[string]string, error) {
			return accounts[facts.Namespace+"/"+name], nil
		}})
	}
	return inputs
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
