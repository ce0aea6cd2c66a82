package review

import (
	"cmp"
	"encoding/json"
	"maps"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
)

// Offline prepares the objects of some manifests for review. What a cluster would know comes from the manifests too:
// the labels of a Namespace among them, the annotations of a ServiceAccount. defaults hold for all else; its Namespace
// is that of objects that name none.
func Offline(objects []manifest.Object, effective *policy.Policy, defaults policy.Facts) []Input {
	namespaces := map[string]map[string]string{}
	accounts := map[string]map[string]string{}
	for _, o := range objects {
		var meta struct {
			Metadata struct {
				Labels, Annotations map[string]string
			}
		}
		if json.Unmarshal(o.JSON, &meta) != nil {
			continue
		}
		switch {
		case o.APIVersion == "v1" && o.Kind == "Namespace":
			namespaces[o.Name] = meta.Metadata.Labels
		case o.APIVersion == "v1" && o.Kind == "ServiceAccount":
			known := map[string]string{} // not nil, though it may have none
			maps.Copy(known, meta.Metadata.Annotations)
			accounts[cmp.Or(o.Namespace, defaults.Namespace)+"/"+o.Name] = known
		}
	}
	inputs := make([]Input, 0, len(objects))
	for _, o := range objects {
		facts := defaults
		facts.Offline = true
		facts.Namespace = cmp.Or(o.Namespace, defaults.Namespace)
		if labels, ok := namespaces[facts.Namespace]; ok {
			facts.NamespaceLabels = labels
		}
		inputs = append(inputs, Input{Object: o, Policy: effective, Facts: facts, ServiceAccount: func(name string) map[string]string {
			return accounts[facts.Namespace+"/"+name]
		}})
	}
	return inputs
}
