// Package policy is the configuration of Twelvefold: the document, its strict reading, and what it means for one
// namespace. It also holds the words that rules and mutators share: levels, factors, facts, findings.
package policy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// DefaultIgnoredContainers are sidecars that a mesh or we inject: not their team's to mend.
var DefaultIgnoredContainers = []string{"istio-proxy", "istio-init", "istio-validation", "linkerd-proxy", "linkerd-init",
	"linkerd-network-validator", "daprd", "twelvefold-*"}

// Policy is a document that passed every check. It is immutable.
type Policy struct {
	doc    Document
	root   *yaml.Node
	rules  Catalogue
	hash   string
	cap    Level
	custom []Custom
	params map[string]any   // by rule
	ns     []map[string]any // the same, for each of doc.Spec.Namespaces
}

// Default is the built-in policy: profile baseline and nothing else.
func Default(rules Catalogue) *Policy {
	p, err := Parse([]byte("apiVersion: "+APIVersion+"\nkind: "+Kind+"\nspec: {profile: baseline}\n"), rules)
	if err != nil {
		panic(err) // a constant
	}
	p.hash = "default"
	return p
}

// CappedAtWarn is the policy with every denial turned into a warning: for a cluster where nobody has chosen to deny.
func (p *Policy) CappedAtWarn() *Policy {
	c := *p
	c.cap = Warn
	return &c
}

// Hash identifies the document: 12 hex digits.
func (p *Policy) Hash() string { return p.hash }

// Spec is the document's own text, as read.
func (p *Policy) Spec() Spec { return p.doc.Spec }

// DeniesTemplates says whether a workload is refused whose pods would be: else it is only warned about, and its pods are
// refused.
func (p *Policy) DeniesTemplates() bool {
	return p.doc.Spec.Templates != nil && *p.doc.Spec.Templates == Deny
}

// Warnings are what is wrong with a policy that is valid all the same.
func (p *Policy) Warnings(now time.Time) []string {
	var warnings []string
	for i, e := range p.doc.Spec.Exemptions {
		if e.expired(now) {
			warnings = append(warnings, fmt.Sprintf("spec.exemptions[%d] of %s expired on %s and has no effect", i, e.Owner, e.Expires.Format(time.DateOnly)))
		}
	}
	return warnings
}

func (p *Policy) compile() error {
	var errs []error
	fail := func(where *yaml.Node, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		if where != nil {
			text = fmt.Sprintf("line %d: %s", where.Line, text)
		}
		errs = append(errs, errors.New("policy: "+text))
	}
	spec := p.doc.Spec
	if p.doc.APIVersion != APIVersion {
		fail(nil, "apiVersion is %q; this version reads %s", p.doc.APIVersion, APIVersion)
	}
	if p.doc.Kind != Kind {
		fail(nil, "kind is %q; want %s", p.doc.Kind, Kind)
	}

	node, _ := lookup(p.root, "spec")
	if node == nil || node.Kind != yaml.MappingNode {
		fail(nil, "spec is missing")
		return errors.Join(errs...)
	}
	for i, r := range spec.CustomRules { // before what names them
		p.custom = append(p.custom, p.compileCustom(fmt.Sprintf("spec.customRules[%d]", i), r, element(node, "customRules", i), fail))
	}
	p.params = p.compileParams(spec.Rules, node, nil, fail)
	for i, ns := range spec.Namespaces {
		item := element(node, "namespaces", i)
		p.ns = append(p.ns, p.compileParams(ns.Rules, item, p.params, fail))
		checkGlobs(fmt.Sprintf("spec.namespaces[%d].match.names", i), ns.Match.Names, item, fail)
		area{item, fail}.logModes(fmt.Sprintf("spec.namespaces[%d].", i), ns.Logs)
	}
	ignored, _ := lookup(node, "ignoreContainers")
	checkGlobs("spec.ignoreContainers", spec.IgnoreContainers, ignored, fail)
	requesters, _ := lookup(node, "allowedRequesters")
	checkGlobs("spec.allowedRequesters", spec.AllowedRequester, requesters, fail)
	if t := spec.Templates; t != nil && *t < Warn {
		where, _ := lookup(node, "templates")
		fail(where, "spec.templates: one of warn, deny")
	}
	ids := map[string]bool{}
	for i, e := range spec.Exemptions {
		item := element(node, "exemptions", i)
		p.checkExemption(fmt.Sprintf("spec.exemptions[%d]", i), e, item, fail)
		if e.ID != "" && ids[e.ID] {
			fail(item, "spec.exemptions[%d]: the id %q is given twice", i, e.ID)
		}
		ids[e.ID] = true
	}
	for i, test := range spec.Tests {
		for _, missing := range missingFields("name", test.Name, "pod", string(test.Pod)) {
			fail(element(node, "tests", i), "spec.tests[%d]: %s is missing", i, missing)
		}
	}
	a := area{node, fail}
	a.keyVault(spec.KeyVault)
	a.metrics(spec.Metrics)
	a.logs(spec.Logs)
	return errors.Join(errs...)
}

type failFunc func(where *yaml.Node, format string, args ...any)

// compileParams gives each rule that is set its parameters: the base's or its own default, overlaid by the document's.
func (p *Policy) compileParams(settings map[string]RuleSetting, node *yaml.Node, base map[string]any, fail failFunc) map[string]any {
	params := maps.Clone(base)
	if params == nil {
		params = map[string]any{}
	}
	for _, id := range slices.Sorted(maps.Keys(settings)) {
		setting := settings[id]
		var where *yaml.Node
		if rules, ok := lookup(node, "rules"); ok {
			where, _ = entry(rules, id)
		}
		info, known := p.lookup(id)
		if known {
			p.checkRepair(info, setting, where, fail)
		}
		switch {
		case !known:
			fail(where, "unknown rule %q (twelvefold explain lists the rules)", id)
		case setting.Params.IsZero():
		case info.Params == nil:
			fail(where, "rule %s takes no params", id)
		default:
			value := reflect.New(reflect.TypeOf(info.Params))
			if err := copyParams(cmp.Or(params[id], info.Params), value.Interface()); err != nil {
				fail(where, "rule %s: params: %v", id, err)
			}
			err := decodeParams(&setting.Params, value.Interface())
			if checked, ok := value.Interface().(interface{ Validate() error }); ok && err == nil {
				err = checked.Validate()
			}
			if err != nil {
				fail(where, "rule %s: params: %v", id, err)
			}
			params[id] = value.Elem().Interface()
		}
	}
	return params
}

func (p *Policy) checkExemption(name string, e Exemption, where *yaml.Node, fail failFunc) {
	expires := ""
	if !e.Expires.IsZero() {
		expires = "set"
	}
	for _, missing := range missingFields("reason", e.Reason, "owner", e.Owner, "expires", expires) {
		fail(where, "%s: %s is missing", name, missing)
	}
	if len(e.Rules) == 0 {
		fail(where, "%s: rules is empty", name)
	}
	for _, id := range e.Rules {
		if _, known := p.lookup(id); !known {
			fail(where, "%s: unknown rule %q (twelvefold explain lists the rules)", name, id)
		}
	}
	if e.Workload != "" && e.Workload != "*" && !strings.Contains(e.Workload, "/") { // it would match nothing
		fail(where, "%s.workload: %q names no kind; want Kind/name, such as Deployment/%s", name, e.Workload, e.Workload)
	}
	checkGlobs(name, []string{e.Namespace, e.Workload, e.Container}, where, fail)
}

func element(n *yaml.Node, key string, i int) *yaml.Node {
	if list, ok := lookup(n, key); ok && i < len(list.Content) {
		return list.Content[i]
	}
	return nil
}

// missingFields takes pairs of a field's name and its value.
func missingFields(pairs ...string) (missing []string) {
	for i := 0; i < len(pairs); i += 2 {
		if strings.TrimSpace(pairs[i+1]) == "" {
			missing = append(missing, pairs[i])
		}
	}
	return missing
}

func checkGlobs(name string, globs []string, where *yaml.Node, fail failFunc) {
	for _, glob := range globs {
		if _, err := path.Match(glob, ""); err != nil {
			fail(where, "%s: %q is not a valid pattern", name, glob)
		}
	}
}

// matchesAny says whether one of the globs matches. A * also matches across slashes' absence: names hold none.
func matchesAny(globs []string, name string) bool {
	return slices.ContainsFunc(globs, func(glob string) bool {
		ok, _ := path.Match(glob, name)
		return ok
	})
}
