// Package mutate holds the mutators: one file each. A mutator is pure: it reads the pod, the policy and the facts, and
// edits the pod through a patch builder. Running all of them twice changes nothing the second time, as
// reinvocationPolicy IfNeeded demands.
//
// To add a mutator, write its file and its fixtures below testdata/<name>/<case>.
package mutate

import (
	"cmp"
	"fmt"
	"slices"

	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
)

// Mutator is one of the jobs that Twelvefold does to a pod.
type Mutator struct {
	Name   string // in the status annotation, in findings, and for `twelvefold explain`
	Factor policy.Factor
	Order  int // mutators run from the lowest to the highest
	// ByProfile says that the profile decides what it does by default; others do theirs in every profile.
	ByProfile bool
	policy.Page
	Mutate func(c *Context)
}

// registry is filled by init functions and not changed afterwards.
var registry []*Mutator

func register(m Mutator) {
	for _, other := range registry {
		if other.Name == m.Name || other.Order == m.Order {
			panic("mutator registered twice, or at the same place: " + m.Name)
		}
	}
	if m.Name == "" || m.Factor.Title() == "" || m.Mutate == nil || m.Title == "" {
		panic("incomplete mutator: " + m.Name)
	}
	registry = append(registry, &m)
	slices.SortFunc(registry, func(a, b *Mutator) int { return cmp.Compare(a.Order, b.Order) })
}

// All are the mutators, in the order in which they run.
func All() []*Mutator { return slices.Clone(registry) }

// Context is what a mutator works on.
type Context struct {
	Edit   *podpatch.Builder
	Policy *policy.Effective
	Facts  policy.Facts

	mutator  *Mutator
	before   Status // as the pod came in
	status   Status
	findings []policy.Finding
	repaired []string        // rules, each once
	ours     map[string]bool // annotations that [Context.Annotation] leaves out
	monitor  string          // that scrapes the pod; empty if none does
}

// Run lets every mutator edit the pod and writes the status annotation. A finding at level deny means that the pod must
// be refused: its edits are then incomplete. Repaired are the rules whose repairs were made now, each once.
func Run(edit *podpatch.Builder, effective *policy.Effective, facts policy.Facts) (findings []policy.Finding, repaired []string) {
	before := ReadStatus(edit.Pod().Annotations[StatusAnnotation])
	c := &Context{Edit: edit, Policy: effective, Facts: facts, before: before,
		status: Status{Policy: effective.Hash(), Done: before.Done, Skipped: map[string][]string{}}}
	for _, c.mutator = range registry {
		c.mutator.Mutate(c)
	}
	edit.SetAnnotation(StatusAnnotation, c.status.String())
	return c.findings, c.repaired
}

// Annotation is an annotation of the pod. While a mutator hides its own, it is one of the user's.
func (c *Context) Annotation(key string) (string, bool) {
	if c.ours[key] {
		return "", false
	}
	value, ok := c.Edit.Pod().Annotations[key]
	return value, ok
}

// Done records what the mutator did, in a few words without secrets.
func (c *Context) Done(format string, args ...any) {
	c.status.Done = addTo(c.status.Done, c.mutator.Name, fmt.Sprintf(format, args...))
}

// DoneBefore is what the mutator recorded when it saw the pod earlier.
func (c *Context) DoneBefore() []string { return c.before.Done[c.mutator.Name] }

// Skip records what the mutator did not do, and why.
func (c *Context) Skip(format string, args ...any) {
	c.status.Skipped = addTo(c.status.Skipped, c.mutator.Name, fmt.Sprintf(format, args...))
}

// Refuse says that the pod can't be admitted: its spec asks for what can't be done.
func (c *Context) Refuse(path, container, message, fix string) {
	c.find(policy.Deny, path, container, message, fix)
}

// Warn tells the user about something that will not work as written.
func (c *Context) Warn(path, container, message, fix string) {
	c.find(policy.Warn, path, container, message, fix)
}

func (c *Context) find(level policy.Level, path, container, message, fix string) {
	c.findings = append(c.findings, policy.Finding{Rule: c.mutator.Name, Factor: c.mutator.Factor, Level: level,
		Path: path, Container: container, Message: message, Fix: fix})
}
