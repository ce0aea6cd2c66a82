package rules

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
)

// Repaired is a field that a repair has changed.
type Repaired struct {
	Path       string // from the pod's root
	Container  string // its container's name, if it is in one
	What       string // what was done, in a few words: "exec stands before the script's last command"
	OfWorkload bool   // the workload has a field of the same name, which is the better place where its manifest is at hand
}

// Mend makes the repairs that the policy wants, and tells of each when it is done. Where the pod is mended already there
// is nothing to do.
func Mend(edit *podpatch.Builder, effective *policy.Effective, facts policy.Facts, done func(*Rule, Repaired)) {
	s := underRepair(edit, effective, facts)
	for _, r := range mending() {
		if !s.wants(r) || s.exempt(r) || s.exempted(r, "") {
			continue
		}
		containers := s.containers
		s.containers = slices.DeleteFunc(slices.Clone(containers), func(c Container) bool { return s.exempted(r, c.Name) })
		s.params = effective.Params(r.RuleInfo)
		r.Mend(s, func(what Repaired) { done(r, what) })
		s.containers = containers
	}
}

// mending are the rules with a repair, in the order in which they are made.
var mending = sync.OnceValue(func() []*Rule {
	some := slices.DeleteFunc(All(), func(r *Rule) bool { return r.Mend == nil })
	slices.SortStableFunc(some, func(a, b *Rule) int { return cmp.Compare(a.MendOrder, b.MendOrder) })
	return some
})

// underRepair is a pod whose containers can be edited.
func underRepair(edit *podpatch.Builder, effective *policy.Effective, facts policy.Facts) *Subject {
	s := NewSubject(edit.Pod(), effective, facts)
	s.edit = edit
	of := map[*corev1.Container]*podpatch.Container{}
	for _, c := range edit.AllContainers() {
		of[c.Get()] = c
	}
	for i := range s.containers {
		s.containers[i].edit = of[s.containers[i].Container]
	}
	return s
}

// Repairs says whether the rule's repair is made in pods that say nothing about it.
func (r *Rule) Repairs(effective *policy.Effective) bool {
	return r.Mend != nil && (&Subject{Pod: &corev1.Pod{}, Policy: effective}).wants(r)
}

func (s *Subject) wants(r *Rule) bool {
	if r.Wanted != nil {
		return r.Wanted(s, r)
	}
	return s.Policy.Repairs(r.RuleInfo)
}

// exempted says whether a rule is lifted here from the pod as a whole, or from one of its containers.
func (s *Subject) exempted(r *Rule, container string) bool {
	return s.lifted(policy.Finding{Rule: r.ID, Container: container})
}

// repaired says what was done to a field of the container.
func (c Container) repaired(field, what string) Repaired {
	return Repaired{Path: c.Path + field, Container: c.Name, What: c.Name + ": " + what}
}

// startedByAgent says whether the container's command has the agent in front. Repairs of commands have then been made, and
// what they left is what they would leave again; a command that comes from the image is the image's.
func (c Container) startedByAgent() bool {
	return len(c.Command) > 0 && c.Command[0] == keyvault.AgentPath
}

// aSize refuses what is no quantity of bytes that anything could work with: 64m, for one, is less than a byte.
func aSize(field, text string) error {
	if q, err := resource.ParseQuantity(text); err != nil || q.Value() < 1<<20 {
		return fmt.Errorf("%s: %q; want a size such as 64Mi", field, text)
	}
	return nil
}
