package policy

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

func (p *Policy) checkExemption(name string, e Exemption, where *yaml.Node, fail failFunc) {
	expires := ""
	if !e.Expires.IsZero() {
		expires = "set"
	}
	for _, missing := range missingFields(where, "reason", e.Reason, "owner", e.Owner, "expires", expires) {
		fail(where, "%s: %s is missing", name, missing)
	}
	if len(e.Rules) == 0 && !(p.partial && given(where, "rules")) {
		fail(where, "%s: rules is empty", name)
	}
	p.checkRules(name, e.Rules, where, fail)
	checkNames(name+".namespace", []string{e.Namespace}, where, fail)
	checkNames(name+".container", []string{e.Container}, where, fail)
	switch {
	case e.Workload == "" || e.Workload == "*":
	case !strings.Contains(e.Workload, "/"): // it would match nothing
		fail(where, "%s.workload: %q names no kind; want Kind/name, such as Deployment/%s", name, e.Workload, e.Workload)
	case !workloadPattern.MatchString(e.Workload):
		fail(where, "%s.workload: %q matches nothing; want Kind/name, such as Deployment/shop, where * and ? stand for others", name, e.Workload)
	default:
		checkGlobs(name+".workload", []string{e.Workload}, where, fail)
	}
}

func (p *Policy) checkRules(name string, ids []string, where *yaml.Node, fail failFunc) {
	for _, id := range ids {
		if _, known := p.lookup(id); !known && !p.unread(id) {
			fail(where, "%s: %s", name, p.unknownRule(id))
		}
	}
}

// unknownRule says so, and which rule was meant by its heading (V/mutable-tag) or in capitals.
func (p *Policy) unknownRule(id string) string {
	meant := strings.ToLower(id[strings.LastIndex(id, "/")+1:])
	if _, known := p.lookup(meant); known {
		return fmt.Sprintf("unknown rule %q; write %s", id, meant)
	}
	return fmt.Sprintf("unknown rule %q (twelvefold explain lists the rules)", id)
}

// checkTest refuses samples that would pass because nothing looks at them.
func (p *Policy) checkTest(name string, t Test, where *yaml.Node, fail failFunc) {
	for _, missing := range missingFields(where, "name", t.Name, "pod", string(t.Pod)) {
		fail(where, "%s: %s is missing", name, missing)
	}
	injects := func(id string) bool { return slices.Contains(Injectors, id) }
	p.checkRules(name+".expect", slices.DeleteFunc(slices.Concat(t.Expect.Deny, t.Expect.Warn), injects), where, fail)
	at, _ := lookup(where, "pod")
	if at == nil || len(t.Pod) == 0 {
		return
	}
	var pod struct {
		Kind string
		Spec struct{ Containers []any }
	}
	switch err := json.Unmarshal(t.Pod, &pod); {
	case err != nil:
		fail(at, "%s.pod: this is no pod", name)
	case pod.Kind != "" && pod.Kind != "Pod":
		fail(at, "%s.pod: want a Pod, not a %s; write the metadata and spec of its template", name, pod.Kind)
	case len(pod.Spec.Containers) == 0:
		fail(at, "%s.pod: it has no spec.containers, so that there is nothing to judge", name)
	}
}

// What names of namespaces and containers, and of workloads, are made of, and what globs have besides.
var (
	namePattern     = regexp.MustCompile(`^[-a-z0-9.*?\[\]^\\]*$`)
	workloadPattern = regexp.MustCompile(`^[A-Z*?\[][-A-Za-z0-9*?\[\]^\\]*/[-a-z0-9.*?\[\]^\\]+$`)
)

// checkNames refuses patterns that no name of a namespace or container can match, such as a list in one text.
func checkNames(name string, globs []string, where *yaml.Node, fail failFunc) {
	for _, glob := range globs {
		if !namePattern.MatchString(glob) {
			fail(where, "%s: %q matches nothing: a name has lower-case letters, digits and -; a pattern may also have *, ?, [a-c] and [^a-c]", name, glob)
			continue
		}
		checkGlobs(name, []string{glob}, where, fail)
	}
}

func checkGlobs(name string, globs []string, where *yaml.Node, fail failFunc) {
	for _, glob := range globs {
		if _, err := path.Match(glob, ""); err != nil {
			fail(where, "%s: %q is not a valid pattern", name, glob)
		}
	}
}
