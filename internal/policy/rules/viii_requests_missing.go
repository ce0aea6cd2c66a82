package rules

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"twelvefold.dev/internal/policy"
)

// requests-missing
//
//	restricted: containers[*].resources.requests, and those of native sidecars
//	allowed:    limits, which are requested where nothing is; resources of the pod; a LimitRange's defaults
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "requests-missing", Factor: "VIII", Levels: policy.At(policy.Warn), Params: requestsParams{Requests: requests{CPU: "50m", Memory: "64Mi"}}, Repair: policy.OnRequest},
		Page: policy.Page{
			Title:   "A container requests no CPU or no memory",
			Why:     "The scheduler counts it as nothing: nodes fill up until their processes starve each other, and this pod is the first that the kubelet evicts. A HorizontalPodAutoscaler on CPU can't compute a percentage of nothing, and the cluster autoscaler adds no node for it.",
			Fix:     "Request what the container uses on a usual day, as the metrics of the last weeks show it. For a whole namespace a LimitRange sets what is missing.",
			Allowed: "Limits without requests: the API server requests the limit. Resources of the pod as a whole. Namespaces whose LimitRange has defaults. Init containers, and pods of Jobs.",
			Repair:  "What is missing is requested as the params say (requests: {cpu: 50m, memory: 64Mi}). It is on request because nobody but the app's owner knows what it needs.",
			Example: "resources:\n  requests: {cpu: 100m, memory: 128Mi}\n  limits: {memory: 256Mi}\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			given, known := s.given()
			if !known {
				return
			}
			for _, c := range s.Containers(Main, Sidecar) {
				var missing, fix []string
				for _, r := range []struct{ name, example string }{{"cpu", "100m"}, {"memory", "128Mi"}} {
					if !c.requests(corev1.ResourceName(r.name), given) {
						missing, fix = append(missing, r.name), append(fix, r.name+": "+r.example)
					}
				}
				if len(missing) > 0 {
					report(c.At(".resources.requests", "requests no "+strings.Join(missing, " and no "), "add what it uses, such as resources: {requests: {"+strings.Join(fix, ", ")+"}}"))
				}
			}
		},
		Mend: func(s *Subject, done func(Repaired)) {
			given, known := s.given()
			if !known {
				return
			}
			wanted := Params[requestsParams](s).Requests
			for _, c := range s.Containers(Main, Sidecar) {
				var made []string
				for _, r := range []struct {
					name corev1.ResourceName
					size string
				}{{corev1.ResourceCPU, wanted.CPU}, {corev1.ResourceMemory, wanted.Memory}} {
					if !c.requests(r.name, given) {
						c.edit.SetRequest(r.name, resource.MustParse(r.size))
						made = append(made, fmt.Sprintf("%s: %s", r.name, r.size))
					}
				}
				if len(made) > 0 {
					done(c.repaired(".resources.requests", "it requests "+strings.Join(made, ", ")))
				}
			}
		},
	})
}

// given are the resources that containers have without naming any: those of the pod, and of the namespace's LimitRange if
// that is known.
func (s *Subject) given() (all corev1.ResourceRequirements, known bool) {
	if pod := s.Pod.Spec.Resources; pod != nil {
		all.Requests, all.Limits = pod.Requests, pod.Limits
	}
	if s.Facts.Defaults == nil || !s.Facts.Template && !s.Facts.Offline { // a pod in a request has them already
		return all, true
	}
	defaults, known := s.Facts.Defaults()
	all.Requests, all.Limits = merged(all.Requests, defaults.Requests), merged(all.Limits, defaults.Limits)
	return all, known
}

func merged(a, b corev1.ResourceList) corev1.ResourceList {
	all := corev1.ResourceList{}
	for _, list := range []corev1.ResourceList{a, b} {
		for name, quantity := range list {
			all[name] = quantity
		}
	}
	return all
}

func has(list corev1.ResourceList, name corev1.ResourceName) bool {
	_, ok := list[name]
	return ok
}

// requestsParams are what is requested for those who request nothing.
type requestsParams struct {
	Requests requests `yaml:"requests"`
}

type requests struct {
	CPU    string `yaml:"cpu"`    // a quantity: 50m
	Memory string `yaml:"memory"` // a quantity: 64Mi
}

// Validate refuses what is no quantity.
func (p requestsParams) Validate() error {
	if q, err := resource.ParseQuantity(p.Requests.CPU); err != nil || q.MilliValue() < 1 {
		return fmt.Errorf("requests.cpu: %q; want a quantity such as 50m", p.Requests.CPU)
	}
	return aSize("requests.memory", p.Requests.Memory)
}

// requests says whether the container requests a resource, or is given it.
func (c Container) requests(name corev1.ResourceName, given corev1.ResourceRequirements) bool {
	return has(c.Resources.Requests, name) || has(c.Resources.Limits, name) || has(given.Requests, name) || has(given.Limits, name)
}
