package rules

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"twelvefold.dev/internal/policy"
)

// memory-limit-missing
//
//	restricted: containers[*].resources.limits.memory, and those of native sidecars
//	allowed:    a limit of the pod; a LimitRange's default
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "memory-limit-missing", Factor: "VIII", Levels: policy.At(policy.Warn), Params: memoryLimitParams{Limit: "512Mi"}, Repair: policy.OnRequest},
		Page: policy.Page{
			Title:   "A container may take all of its node's memory",
			Why:     "Memory, unlike CPU, can't be taken back: a leak in one process ends others on the node, and which of them the kernel decides. Runtimes that size their heaps by the limit (JVM, .NET, Node.js) take the node's size instead.",
			Fix:     "Set a memory limit above the highest use in normal operation. The process then dies alone, with the reason OOMKilled, and is restarted.",
			Allowed: "A memory limit of the pod as a whole; a LimitRange with a default; a missing CPU limit, which only throttles. Init containers, and pods of Jobs.",
			Repair:  "The limit of the params is set (limit: 512Mi), or the container's request where that is more. It is on request because a container that needs more is killed. The API server requests the limit for a container that requests no memory, unless requests-missing is repaired too. A container that asks for a device, such as a GPU, is left alone: it loads more than anybody can guess.",
			Example: "resources:\n  requests: {cpu: 100m, memory: 128Mi}\n  limits: {memory: 256Mi}\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			if given, known := s.given(); !known || has(given.Limits, corev1.ResourceMemory) {
				return
			}
			for _, c := range s.Containers(Main, Sidecar) {
				if has(c.Resources.Limits, corev1.ResourceMemory) {
					continue
				}
				size := "256Mi"
				if c.drivesDevices() {
					size = "<size>" // nobody can guess it
				}
				if q, ok := c.Resources.Requests[corev1.ResourceMemory]; ok {
					size = q.String()
				}
				report(c.At(".resources.limits.memory", "has no memory limit", "set one that it never reaches, such as resources: {limits: {memory: "+size+"}}"))
			}
		},
		MendOrder: 1, // after requests-missing: the API server requests the limit where nothing is requested
		Mend: func(s *Subject, done func(Repaired)) {
			given, known := s.given()
			if !known || has(given.Limits, corev1.ResourceMemory) {
				return
			}
			for _, c := range s.Containers(Main, Sidecar) {
				if has(c.Resources.Limits, corev1.ResourceMemory) || c.drivesDevices() {
					continue
				}
				limit := resource.MustParse(Params[memoryLimitParams](s).Limit)
				for _, requested := range []corev1.ResourceList{c.Resources.Requests, given.Requests} {
					if q := requested.Memory(); q.Cmp(limit) > 0 { // the API server refuses less
						limit = q.DeepCopy()
					}
				}
				c.edit.SetLimit(corev1.ResourceMemory, limit)
				done(c.repaired(".resources.limits.memory", "its memory is limited to "+limit.String()))
			}
		},
	})
}

// drivesDevices says whether the container asks for what only some nodes have: nvidia.com/gpu, or a claim.
func (c Container) drivesDevices() bool {
	for _, list := range []corev1.ResourceList{c.Resources.Limits, c.Resources.Requests} {
		for name := range list {
			if strings.Contains(string(name), "/") {
				return true
			}
		}
	}
	return len(c.Resources.Claims) > 0
}

// memoryLimitParams are what is the limit of those who have none.
type memoryLimitParams struct {
	Limit string `yaml:"limit"` // a quantity: 512Mi
}

// Validate refuses what is no size.
func (p memoryLimitParams) Validate() error { return aSize("limit", p.Limit) }
