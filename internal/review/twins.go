package review

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
)

// Twins know the workloads of many namespaces by kind and name. They keep little of each, and no value of a variable.
type Twins struct {
	namespaces map[string]map[policy.Workload][]byte
}

// Put replaces what is known of a namespace.
func (t *Twins) Put(namespace string, objects []manifest.Object) {
	if t.namespaces == nil {
		t.namespaces = map[string]map[policy.Workload][]byte{}
	}
	t.namespaces[namespace] = map[policy.Workload][]byte{}
	for _, o := range objects {
		if template := twinOf(o); template != nil {
			t.namespaces[namespace][policy.Workload{Kind: o.Kind, Name: o.Name}] = template
		}
	}
}

// Keep forgets all namespaces but these.
func (t *Twins) Keep(namespaces []string) {
	maps.DeleteFunc(t.namespaces, func(namespace string, _ map[policy.Workload][]byte) bool {
		return !slices.Contains(namespaces, namespace)
	})
}

// Of are the workloads of a kind and a name, as [policy.Lookup] has it.
func (t *Twins) Of(w policy.Workload) (all []policy.Twin) {
	for namespace, workloads := range t.namespaces {
		if template := workloads[w]; template != nil {
			all = append(all, policy.Twin{Namespace: namespace, Template: template})
		}
	}
	slices.SortFunc(all, func(a, b policy.Twin) int { return cmp.Compare(a.Namespace, b.Namespace) })
	return all
}

// twin is what is kept of a pod template, by the names that the pod API has for it.
type twin struct {
	Metadata struct {
		Labels struct {
			Name string `json:"app.kubernetes.io/name,omitempty"`
		} `json:"labels"`
	} `json:"metadata"`
	Spec struct {
		InitContainers []twinContainer `json:"initContainers,omitempty"`
		Containers     []twinContainer `json:"containers"`
	} `json:"spec"`
}

type twinContainer struct {
	Name  string `json:"name"`
	Image string `json:"image"`
	Env   []struct {
		Name string `json:"name"`
	} `json:"env,omitempty"`
	EnvFrom []struct{} `json:"envFrom,omitempty"` // that there are some, but not which
}

// HasTwins says whether workloads of a kind have names by which to find them in other namespaces: not pods and Jobs.
func HasTwins(kind string) bool {
	return slices.Contains([]string{"Deployment", "StatefulSet", "DaemonSet", "CronJob"}, kind)
}

// twinOf is what is kept of a workload; nil if it has no twins.
func twinOf(o manifest.Object) []byte {
	if !HasTwins(o.Kind) {
		return nil
	}
	template, ok, err := o.Template()
	if err != nil || !ok {
		return nil
	}
	var kept twin
	if json.Unmarshal(template.JSON, &kept) != nil {
		return nil
	}
	data, err := json.Marshal(kept)
	if err != nil {
		return nil
	}
	return data
}
