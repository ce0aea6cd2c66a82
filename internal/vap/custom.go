package vap

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/expression"
)

// custom is a custom rule for the API server, which knows the pod by one name, the namespace by another, and leaves out
// empty labels.
func custom(c policy.Custom, effective *policy.Effective) (v validation, reason string) {
	condition, err := translate(c.Expression)
	if err != nil {
		return v, fmt.Sprintf("its expression can't be translated: %v", err)
	}
	params, err := literal(effective.Params(c.RuleInfo))
	if err != nil {
		return v, fmt.Sprintf("its params can't be translated: %v", err)
	}
	fix := ""
	if c.Fix != "" {
		fix = "; " + c.Fix
	}
	v = validation{condition: "(" + condition + ")", message: fmt.Sprintf("%s/%s: %s%s", c.RuleInfo.Factor, c.RuleInfo.ID, c.Message, fix), variables: []variable{
		{"params", params},
		{"ns", `{"name": dyn(namespaceObject.metadata.name), "labels": dyn(namespaceObject.metadata.?labels.orValue({}))}`},
	}}
	if c.MessageExpression != "" && !mayShowSecret.MatchString(c.MessageExpression) {
		if text, err := translate(c.MessageExpression); err == nil { // else the fixed message does
			v.messageExpression = fmt.Sprintf("%s + (%s) + %s", quote(fmt.Sprintf("%s/%s: ", c.RuleInfo.Factor, c.RuleInfo.ID)), text, quote(policy.OneLine(fix)))
		}
	}
	return v, ""
}

var names = map[string]string{expression.Pod: expression.Object, expression.Namespace: "variables.ns", expression.Params: "variables.params"}

// mayBeAbsent are fields that are always there for the webhook's expressions.
var mayBeAbsent = regexp.MustCompile(`\bobject\.metadata\.(labels|annotations)\b`)

// mayShowSecret are fields that people write secrets into. The API server shows what an expression makes of them, where the
// webhook falls back to the fixed message.
var mayShowSecret = regexp.MustCompile(`\b(env|command|args|annotations|httpHeaders|httpGet)\b`)

func translate(text string) (string, error) {
	text = mayBeAbsent.ReplaceAllString(expression.Rename(text, names), "object.metadata.?$1.orValue({})")
	return text, expression.CheckAdmission(text)
}

// literal writes parameters in CEL.
func literal(value any) (string, error) {
	switch value := value.(type) {
	case nil:
		return "null", nil
	case string:
		return quote(value), nil
	case bool, int, int64:
		return fmt.Sprint(value), nil
	case float64:
		return fmt.Sprintf("double(%q)", strconv.FormatFloat(value, 'g', -1, 64)), nil
	case []any:
		items := make([]string, len(value))
		for i, item := range value {
			text, err := literal(item)
			if err != nil {
				return "", err
			}
			items[i] = "dyn(" + text + ")"
		}
		return "[" + strings.Join(items, ", ") + "]", nil
	case map[string]any:
		items := []string{}
		for _, key := range sorted(value) {
			text, err := literal(value[key])
			if err != nil {
				return "", err
			}
			items = append(items, fmt.Sprintf("%s: dyn(%s)", quote(key), text))
		}
		return "{" + strings.Join(items, ", ") + "}", nil
	}
	return "", fmt.Errorf("a %T", value)
}
