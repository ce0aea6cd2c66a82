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
	doc     Document
	root    *yaml.Node
	above   int // lines of the text that was read before the document
	rules   Catalogue
	hash    string
	cap     Level
	partial bool // only what could be read of a document with mistakes; never outside of Parse
	custom  []Custom
	params  map[string]any   // by rule
	ns      []map[string]any // the same, for each of doc.Spec.Namespaces
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

// TestLine is the line of a test in the text that was read; 0 if it is unknown.
func (p *Policy) TestLine(i int) int {
	spec, _ := lookup(p.root, "spec")
	items := p.elements(spec, "tests", len(p.doc.Spec.Tests))
	if i >= len(items) || items[i] == nil {
		return 0
	}
	return items[i].Line + p.above
}

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
	for i, ns := range p.doc.Spec.Namespaces {
		for j, before := range p.doc.Spec.Namespaces[:i] {
			if before.Match.covers(ns.Match) {
				warnings = append(warnings, fmt.Sprintf("spec.namespaces[%d] has no effect: spec.namespaces[%d] stands before it and matches all that it does", i, j))
				break
			}
		}
	}
	return warnings
}

// compile checks the document and prepares it for use.
func (p *Policy) compile() (mistakes []error) {
	fail := func(where *yaml.Node, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		if where != nil {
			text = fmt.Sprintf("line %d: %s", where.Line, text)
		}
		mistakes = append(mistakes, errors.New("policy: "+text))
	}
	spec := p.doc.Spec
	head := func(field, got, want, hint string) {
		if where, _ := lookup(p.root, field); got != want && (got != "" || !given(p.root, field)) {
			fail(where, "%s is %q; %s %s", field, got, hint, want)
		}
	}
	head("apiVersion", p.doc.APIVersion, APIVersion, "this version reads")
	head("kind", p.doc.Kind, Kind, "want")

	node, _ := lookup(p.root, "spec")
	if node == nil || node.Kind != yaml.MappingNode {
		if !given(p.root, "spec") {
			fail(nil, "spec is missing")
		}
		return mistakes
	}
	for i, item := range p.elements(node, "customRules", len(spec.CustomRules)) { // before what names them
		p.custom = append(p.custom, p.compileCustom(fmt.Sprintf("spec.customRules[%d]", i), spec.CustomRules[i], item, fail))
	}
	p.params = p.compileParams(spec.Rules, node, nil, fail)
	for i, item := range p.elements(node, "namespaces", len(spec.Namespaces)) {
		ns := spec.Namespaces[i]
		p.ns = append(p.ns, p.compileParams(ns.Rules, item, p.params, fail))
		checkNames(fmt.Sprintf("spec.namespaces[%d].match.names", i), ns.Match.Names, item, fail)
		area{p, item, fail}.logModes(fmt.Sprintf("spec.namespaces[%d].", i), ns.Logs)
	}
	ignored, _ := lookup(node, "ignoreContainers")
	checkNames("spec.ignoreContainers", spec.IgnoreContainers, ignored, fail)
	requesters, _ := lookup(node, "allowedRequesters")
	checkGlobs("spec.allowedRequesters", spec.AllowedRequester, requesters, fail)
	if t := spec.Templates; t != nil && (*t == Audit || *t == Off && !p.partial) { // off is also what is left of a mistake, which was told
		where, _ := lookup(node, "templates")
		fail(where, "spec.templates: one of warn, deny")
	}
	ids := map[string]bool{}
	for i, item := range p.elements(node, "exemptions", len(spec.Exemptions)) {
		e := spec.Exemptions[i]
		p.checkExemption(fmt.Sprintf("spec.exemptions[%d]", i), e, item, fail)
		if e.ID != "" && ids[e.ID] {
			fail(item, "spec.exemptions[%d]: the id %q is given twice", i, e.ID)
		}
		ids[e.ID] = true
	}
	for i, item := range p.elements(node, "tests", len(spec.Tests)) {
		p.checkTest(fmt.Sprintf("spec.tests[%d]", i), spec.Tests[i], item, fail)
	}
	a := area{p, node, fail}
	a.keyVault(spec.KeyVault)
	a.metrics(spec.Metrics)
	a.logs(spec.Logs)
	return mistakes
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
		case !known && p.unread(id):
		case !known:
			fail(where, "%s", p.unknownRule(id))
		case setting.Params.IsZero():
		case info.Params == nil:
			fail(where, "rule %s takes no params", id)
		default:
			value := reflect.New(reflect.TypeOf(info.Params))
			if err := copyParams(cmp.Or(params[id], info.Params), value.Interface()); err != nil {
				fail(where, "rule %s: params: %v", id, err)
			}
			told := false
			decodeParams(&setting.Params, value.Interface(), func(line int, mistake string) {
				at := where // nil, if the rule comes by a merge key
				if line > 0 {
					at = &yaml.Node{Line: line}
				}
				told = true
				fail(at, "rule %s: params: %s", id, mistake)
			})
			if i := p.customIndex(id); i >= 0 {
				p.custom[i].checkParams(&setting.Params, fail)
			}
			if checked, ok := value.Interface().(interface{ Validate() error }); ok && !told {
				if err := checked.Validate(); err != nil {
					fail(where, "rule %s: params: %v", id, err)
				}
			}
			params[id] = value.Elem().Interface()
		}
	}
	return params
}

// elements are the nodes of a list that has been read, as many as were read. The lines of a list that lost an element to a
// mistake are not known: such a list has none, and is looked at when the mistake is mended.
func (p *Policy) elements(n *yaml.Node, key string, read int) []*yaml.Node {
	list, _ := lookup(n, key)
	if list == nil { // it comes by a merge key
		return make([]*yaml.Node, read)
	}
	items := slices.DeleteFunc(slices.Clone(list.Content), func(item *yaml.Node) bool { return item.ShortTag() == "!!null" })
	switch {
	case len(items) == read:
		return items
	case p.partial:
		return nil
	}
	return make([]*yaml.Node, read)
}

// unread says whether a rule may be one of the policy's own that a mistake kept from being read.
func (p *Policy) unread(id string) bool {
	if !p.partial {
		return false
	}
	list, _ := lookup(p.root, "spec", "customRules")
	return list != nil && slices.ContainsFunc(list.Content, func(rule *yaml.Node) bool { return scalarAt(rule, "id") == id })
}

// missingFields takes pairs of a field's name and its value. What is there and has no value could not be read, which has
// been told.
func missingFields(n *yaml.Node, pairs ...string) (missing []string) {
	for i := 0; i < len(pairs); i += 2 {
		if strings.TrimSpace(pairs[i+1]) == "" && !given(n, pairs[i]) {
			missing = append(missing, pairs[i])
		}
	}
	return missing
}

// given says whether a field has any value.
func given(n *yaml.Node, field string) bool {
	_, value := entry(n, field)
	return value != nil && (value.Kind != yaml.ScalarNode || strings.TrimSpace(value.Value) != "") && value.ShortTag() != "!!null"
}

// matchesAny says whether one of the globs matches. A * stops at a slash, which names don't hold.
func matchesAny(globs []string, name string) bool {
	return slices.ContainsFunc(globs, func(glob string) bool {
		ok, _ := path.Match(glob, name)
		return ok
	})
}
