package rules

import (
	"cmp"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/expression"
	"twelvefold.dev/internal/secretscan"
)

// judgeCustom evaluates the policy's own rules. What can't be evaluated warns: a mistake in a policy must not refuse pods.
func judgeCustom(s *Subject, report func(policy.Finding)) {
	custom := s.Policy.Custom()
	if len(custom) == 0 {
		return
	}
	variables, err := s.variables()
	budget := &expression.Budget{}
	for _, c := range custom {
		f := policy.Finding{Rule: c.RuleInfo.ID, Factor: c.RuleInfo.Factor, Level: s.Policy.Level(c.RuleInfo, nil, policy.Deny),
			Path: cmp.Or(c.Field, "spec"), Fix: c.Fix, Custom: true}
		if f.Level == policy.Off || s.lifted(f) {
			continue
		}
		right, err := false, err
		if err == nil {
			variables[expression.Params] = s.Policy.Params(c.RuleInfo)
			right, err = c.Condition.True(variables, budget)
		}
		switch {
		case err != nil:
			f.Level = min(f.Level, policy.Warn)
			f.Message, f.Fix = fmt.Sprintf("the policy's rule could not be evaluated: %v", err), "tell the policy's owner; nothing is refused because of it"
		case right:
			continue
		default:
			f.Message = s.message(c, variables, budget)
		}
		report(f)
	}
}

// maxMessage bounds the message of a custom rule, in runes.
const maxMessage = 512

func (s *Subject) message(c policy.Custom, variables map[string]any, budget *expression.Budget) string {
	text := ""
	if c.Text != nil {
		made, err := c.Text.String(variables, budget)
		if err == nil && !s.showsSecret(made) {
			text = policy.OneLine(made)
		}
	}
	text = cmp.Or(text, policy.OneLine(c.Message))
	if r := []rune(text); len(r) > maxMessage {
		return string(r[:maxMessage-1]) + "…"
	}
	return text
}

// showsSecret looks for what is a secret by its own form, and for what the pod says under a secret's name.
func (s *Subject) showsSecret(message string) bool {
	if _, found := secretscan.Find("", message); found {
		return true
	}
	if _, found := secretscan.FindURL(message); found {
		return true
	}
	for t := range s.texts() {
		if len(t.Value) >= minSecret && strings.Contains(message, t.Value) && (secretscan.SecretName(t.Name) || t.suspect()) {
			return true
		}
	}
	return false
}

// minSecret is the length of what is kept out of messages: a shorter text stands in others by chance.
const minSecret = 5

// variables are what expressions see: the pod as the API server will show it, and its namespace. Labels and annotations
// are there even if there are none, so that has(object.metadata.labels.team) is an answer.
func (s *Subject) variables() (map[string]any, error) {
	pod, err := s.object()
	if err != nil {
		return nil, err
	}
	metadata, ok := pod["metadata"].(map[string]any)
	if !ok {
		metadata = map[string]any{}
		pod["metadata"] = metadata
	}
	for _, field := range []string{"labels", "annotations"} {
		if _, ok := metadata[field].(map[string]any); !ok {
			metadata[field] = map[string]any{}
		}
	}
	metadata["namespace"] = s.Facts.Namespace
	pod["apiVersion"], pod["kind"] = "v1", "Pod"
	labels := map[string]any{}
	for k, v := range s.Facts.NamespaceLabels {
		labels[k] = v
	}
	return map[string]any{
		expression.Object:    pod,
		expression.Namespace: map[string]any{"name": s.Facts.Namespace, "labels": labels},
	}, nil
}

func (s *Subject) object() (object map[string]any, err error) {
	if s.JSON == nil {
		return runtime.DefaultUnstructuredConverter.ToUnstructured(s.Pod)
	}
	data, err := s.JSON()
	if len(data) > expression.MaxObject {
		return nil, fmt.Errorf("the pod has %d bytes; expressions see %d at most", len(data), expression.MaxObject)
	}
	if err == nil {
		err = json.Unmarshal(data, &object) // whole numbers stay whole
	}
	if err != nil {
		return nil, fmt.Errorf("the pod can't be read: %w", err)
	}
	return object, nil
}
