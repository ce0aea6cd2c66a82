// Package rules holds the rules: one file each, named after its factor and id. A rule is pure; what it looks at is the
// pod after mutation, so what a repair mended is not reported.
//
// To add a rule, write its file and its fixtures below testdata/<id>/{pass,fail}.
package rules

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"twelvefold.dev/internal/policy"
)

// Rule is one check of a pod.
type Rule struct {
	policy.RuleInfo
	policy.Page
	// Check reports every violation of the pod.
	Check func(s *Subject, report func(Violation))
	// Mend edits the pod by its builder (s.edit, and that of its containers) so that the rule has nothing left to report,
	// and says after each edit what it did. What a policy exempts is not among the subject's containers. nil: the rule has no
	// repair.
	Mend      func(s *Subject, done func(Repaired))
	MendOrder int // repairs are made from the lowest to the highest; 0 for those that need no other
	// Wanted says whether the repair is made, where more than the policy's word on the rule decides. nil: [policy.Effective.Repairs].
	Wanted func(s *Subject, r *Rule) bool
}

// Violation is what a rule found. Its texts must not hold a secret's value.
type Violation struct {
	Path      string // the field, from the pod's root
	Container string // its container's name, if it is in one
	Message   string // what was seen
	Fix       string // what to write, ready to copy where that can be

	OfWorkload bool // the path is a field of the workload, not of its pod

	Levels *policy.Levels // instead of the rule's own, for a weaker or stronger case
	Max    policy.Level   // the highest level whatever the policy says; 0 is no bound
}

// registry is filled by init functions and not changed afterwards.
var registry = map[string]*Rule{}

func register(r Rule) {
	switch {
	case registry[r.ID] != nil:
		panic("rule registered twice: " + r.ID)
	case r.ID == "" || r.Factor.Title() == "" || r.Check == nil || r.Title == "" || r.Why == "" || r.Page.Fix == "",
		(r.Mend != nil) != (r.RuleInfo.Repair != policy.NotRepaired), (r.Mend != nil) != (r.Page.Repair != ""):
		panic("incomplete rule: " + r.ID)
	}
	registry[r.ID] = &r
}

// All are the rules, by factor and id.
func All() []*Rule { return slices.Clone(inOrder()) }

// inOrder sorts them once: they are all there before the first is asked for.
var inOrder = sync.OnceValue(func() []*Rule {
	return slices.SortedFunc(maps.Values(registry), func(a, b *Rule) int {
		return cmp.Or(
			cmp.Compare(slices.Index(policy.Factors, a.Factor), slices.Index(policy.Factors, b.Factor)),
			strings.Compare(a.ID, b.ID))
	})
})

// Find is the rule with an id.
func Find(id string) (*Rule, bool) {
	r, ok := registry[id]
	return r, ok
}

// Catalogue tells a policy which rules there are.
type Catalogue struct{}

// Lookup is the part of a rule that policies configure.
func (Catalogue) Lookup(id string) (policy.RuleInfo, bool) {
	if r, ok := registry[id]; ok {
		return r.RuleInfo, true
	}
	return policy.RuleInfo{}, false
}

// Repairable are the ids of the rules that have a repair.
func (Catalogue) Repairable() (ids []string) {
	for _, r := range mending() {
		ids = append(ids, r.ID)
	}
	return ids
}

// Judge runs every rule that is on, the policy's own after the built-in ones.
func Judge(s *Subject) []policy.Finding {
	var findings []policy.Finding
	for _, r := range inOrder() {
		if s.exempt(r) {
			continue
		}
		s.params = s.Policy.Params(r.RuleInfo)
		r.Check(s, func(v Violation) {
			if finding, counts := s.finding(r, v); counts {
				findings = append(findings, finding)
			}
		})
	}
	judgeCustom(s, func(f policy.Finding) { findings = append(findings, f) })
	return findings
}

func (s *Subject) finding(r *Rule, v Violation) (policy.Finding, bool) {
	highest := policy.Deny
	if v.Max != policy.Off {
		highest = v.Max
	}
	f := policy.Finding{Rule: r.ID, Factor: r.Factor, Level: s.Policy.Level(r.RuleInfo, v.Levels, highest),
		Path: v.Path, Message: v.Message, Fix: v.Fix, Container: v.Container, OfWorkload: v.OfWorkload}
	if f.Level == policy.Off || s.lifted(f) {
		return f, false
	}
	return f, true
}

// Params are the rule's parameters as the policy sets them: of the type of its defaults.
func Params[T any](s *Subject) T {
	params, ok := s.params.(T)
	if !ok {
		panic(fmt.Sprintf("parameters are %T", s.params)) // a rule that asks for another type than its own
	}
	return params
}
