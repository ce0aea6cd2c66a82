package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"twelvefold.dev/internal/policy/expression"
)

// Custom is a custom rule that was compiled.
type Custom struct {
	RuleInfo
	CustomRule
	Condition *expression.Program // the pod is right where it is true
	Text      *expression.Program // makes the message; nil where that is fixed
}

// Custom are the policy's own rules, in its order.
func (p *Policy) Custom() []Custom { return p.custom }

// Custom are the policy's own rules, in its order.
func (e *Effective) Custom() []Custom { return e.policy.custom }

// lookup finds a rule that is built in, or one of the policy's own.
func (p *Policy) lookup(id string) (RuleInfo, bool) {
	if info, known := p.rules.Lookup(id); known {
		return info, true
	}
	if i := p.customIndex(id); i >= 0 {
		return p.custom[i].RuleInfo, true
	}
	return RuleInfo{}, false
}

func (p *Policy) customIndex(id string) int {
	return slices.IndexFunc(p.custom, func(c Custom) bool { return c.RuleInfo.ID == id })
}

// checkParams refuses parameters that the rule's expressions don't ask for, or that are of another kind than its defaults:
// each pod would be warned that the rule can't be evaluated.
func (c Custom) checkParams(given *yaml.Node, fail failFunc) {
	if given.Kind == yaml.AliasNode {
		given = given.Alias
	}
	if given.Kind != yaml.MappingNode {
		return // told
	}
	text := c.Expression + "\n" + c.MessageExpression
	anyKey := len(wordParams.FindAllString(text, -1)) > len(namedParam.FindAllString(text, -1)) // as in: team in params
	for i := 0; i+1 < len(given.Content); i += 2 {
		key, value := given.Content[i], given.Content[i+1]
		usual, known := c.CustomRule.Params[key.Value]
		var now any
		switch {
		case key.ShortTag() == "!!merge", value.Decode(&now) != nil:
		case !known && !anyKey && !strings.Contains(text, key.Value):
			fail(key, "rule %s: params: unknown field %q", c.RuleInfo.ID, key.Value)
		case known && kindOf(now) != kindOf(usual) && now != nil && usual != nil:
			fail(value, "rule %s: params: %s: want %s, not %s", c.RuleInfo.ID, key.Value, kindOf(usual), kindOf(now))
		}
	}
}

// Where expressions speak of parameters, and where of one by its name: params.most, params.?most, params["most"]. What is
// called, as in params.exists(k, …), is none.
var (
	wordParams = regexp.MustCompile(`\bparams\b`)
	namedParam = regexp.MustCompile(`\bparams(\.\??\w+(\s+[^\s(]|[^\s\w(]|\s*$)|\[\??["'])`)
)

func kindOf(value any) string {
	switch value.(type) {
	case string:
		return "text"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	case map[string]any, map[any]any:
		return "a mapping"
	case time.Time:
		return "a date"
	}
	return "a number"
}

var (
	customID    = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`) // part of object names and metrics
	customField = regexp.MustCompile(`^[a-z][\w.\-/\[\]="*]*$`)
)

// Injectors are what finds things besides rules: the mutators, by their names. Policies set no levels for them.
var Injectors = []string{"keyvault", "logs", "metrics", "repairs"}

func (p *Policy) compileCustom(name string, r CustomRule, where *yaml.Node, fail failFunc) Custom {
	for _, missing := range missingFields(where, "id", r.ID, "factor", string(r.Factor), "expression", r.Expression, "message", r.Message) {
		fail(where, "%s: %s is missing", name, missing)
	}
	if _, known := p.lookup(r.ID); known && r.ID != "" {
		fail(where, "%s: the id %q is given twice", name, r.ID)
	}
	if slices.Contains(Injectors, r.ID) {
		fail(where, "%s: the id %q is that of findings about what is injected", name, r.ID)
	}
	if r.ID != "" && !customID.MatchString(r.ID) {
		fail(where, "%s: the id %q; want lower-case letters, digits and hyphens, such as team-label", name, r.ID)
	}
	if r.Field != "" && !customField.MatchString(r.Field) {
		fail(where, "%s.field: %q; want a field of the pod, such as metadata.labels", name, r.Field)
	}
	if !r.Level.set {
		r.Level.Levels = At(Warn)
	}
	c := Custom{RuleInfo: RuleInfo{ID: r.ID, Factor: r.Factor, Levels: r.Level.Levels}, CustomRule: r}
	c.RuleInfo.Params = r.Params
	if r.Params == nil {
		c.RuleInfo.Params = map[string]any{}
	}
	compile := func(field, text string, with func(string) (*expression.Program, []expression.Error)) *expression.Program {
		if text == "" {
			return nil
		}
		program, mistakes := with(text)
		for _, mistake := range mistakes {
			at, _ := lookup(where, field)
			fail(lineOf(at, mistake), "%s.%s: %v", name, field, mistake)
		}
		return program
	}
	c.Condition = compile("expression", r.Expression, expression.Condition)
	c.Text = compile("messageExpression", r.MessageExpression, expression.Text)
	return c
}

// lineOf is the place of a mistake inside the text of a node.
func lineOf(n *yaml.Node, mistake expression.Error) *yaml.Node {
	if n == nil {
		return nil
	}
	line := n.Line
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 { // its text starts below
		line++
	}
	if n.Style&yaml.FoldedStyle == 0 { // else its lines are not the file's
		line += mistake.Line - 1
	}
	return &yaml.Node{Line: line}
}

// UnmarshalYAML reads one level or two.
func (l *CustomLevels) UnmarshalYAML(n *yaml.Node) error {
	l.set = true
	if n.Kind != yaml.MappingNode {
		err := l.Baseline.UnmarshalYAML(n)
		l.Strict = l.Baseline
		return err
	}
	levels := struct{ Baseline, Strict *Level }{}
	if err := decodeStrictly(n, &levels, "baseline", "strict"); err != nil {
		return err
	}
	l.Baseline = Warn
	if levels.Baseline != nil {
		l.Baseline = *levels.Baseline
	}
	l.Strict = l.Baseline
	if levels.Strict != nil {
		l.Strict = *levels.Strict
	}
	if l.Strict < l.Baseline {
		return lineError(n, fmt.Errorf("strict: %s is weaker than baseline: %s", l.Strict, l.Baseline))
	}
	return nil
}
