package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

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
	if i := slices.IndexFunc(p.custom, func(c Custom) bool { return c.RuleInfo.ID == id }); i >= 0 {
		return p.custom[i].RuleInfo, true
	}
	return RuleInfo{}, false
}

var (
	customID    = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`) // part of object names and metrics
	customField = regexp.MustCompile(`^[a-z][\w.\-/\[\]="*]*$`)
)

func (p *Policy) compileCustom(name string, r CustomRule, where *yaml.Node, fail failFunc) Custom {
	for _, missing := range missingFields("id", r.ID, "factor", string(r.Factor), "expression", r.Expression, "message", r.Message) {
		fail(where, "%s: %s is missing", name, missing)
	}
	if _, known := p.lookup(r.ID); known && r.ID != "" {
		fail(where, "%s: the id %q is given twice", name, r.ID)
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
	compile := func(field, text string, with func(string) (*expression.Program, error)) *expression.Program {
		if text == "" {
			return nil
		}
		program, err := with(text)
		if err != nil {
			at, _ := lookup(where, field)
			fail(lineOf(at, err), "%s.%s: %v", name, field, err)
		}
		return program
	}
	c.Condition = compile("expression", r.Expression, expression.Condition)
	c.Text = compile("messageExpression", r.MessageExpression, expression.Text)
	return c
}

// lineOf is the place of a mistake inside the text of a node.
func lineOf(n *yaml.Node, err error) *yaml.Node {
	var mistake *expression.Error
	if n == nil || !errors.As(err, &mistake) {
		return n
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
	l.Levels = At(Warn)
	strict := false
	for i := 0; i+1 < len(n.Content); i += 2 {
		var err error
		switch key := n.Content[i]; key.Value {
		case "baseline":
			err = l.Baseline.UnmarshalYAML(n.Content[i+1])
		case "strict":
			strict = true
			err = l.Strict.UnmarshalYAML(n.Content[i+1])
		default:
			err = lineError(key, fmt.Errorf("unknown field %q; want baseline, strict", key.Value))
		}
		if err != nil {
			return err
		}
	}
	if !strict {
		l.Strict = l.Baseline
	}
	if l.Strict < l.Baseline {
		return lineError(n, fmt.Errorf("strict: %s is weaker than baseline: %s", l.Strict, l.Baseline))
	}
	return nil
}
