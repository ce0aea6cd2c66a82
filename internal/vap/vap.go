// Package vap writes a policy's denials as ValidatingAdmissionPolicies: a backstop in the API server itself, for what
// CEL can express. It is never stricter than the webhook.
package vap

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
)

// Export is YAML of the policies and their bindings. What can't be expressed stands in comments at its start.
func Export(p *policy.Policy, now time.Time) ([]byte, error) {
	e := exporter{policy: p, now: now}
	for _, r := range rules.All() {
		f, found := forms[r.ID]
		if !found {
			f = form{reason: reasonOf(r.ID)}
		}
		e.export(r.RuleInfo, func(effective *policy.Effective, fixed bool) ([]validation, string) {
			if f.build == nil {
				return nil, f.reason
			}
			message := fmt.Sprintf("%s/%s: %s. %s (twelvefold explain %s)", r.Factor, r.ID, strings.TrimSuffix(r.Title, "."), r.Page.Fix, r.ID)
			return []validation{{expression: f.build(effective, r.RuleInfo, fixed), message: message}}, f.reason
		}, "Fail")
	}
	for _, c := range p.Custom() {
		// What can't be evaluated warns in the webhook, so it passes here.
		e.export(c.RuleInfo, func(effective *policy.Effective, _ bool) ([]validation, string) { return custom(c, effective) }, "Ignore")
	}
	return e.yaml()
}

// validation is a condition that must be true, and what is said where it isn't.
type validation struct {
	expression, message, messageExpression string
	variables                              []variable
}

type variable struct{ name, expression string }

type exporter struct {
	policy  *policy.Policy
	now     time.Time
	notes   []string
	objects []any
}

// builder makes the validations of a rule, or says why it can't; what it makes and a reason mean that there is more to
// the rule. fixed says that the policy names the rule, so that its weaker cases deny too.
type builder func(effective *policy.Effective, fixed bool) ([]validation, string)

// export writes a rule for every part of the policy in which it denies.
func (e *exporter) export(info policy.RuleInfo, build builder, failure string) {
	reasons := map[string]bool{}
	for i := -1; i < len(e.policy.Spec().Namespaces); i++ {
		effective := e.policy.Within(i)
		where, denies := e.where(info, effective, i)
		if !denies {
			continue
		}
		weak := policy.At(policy.Warn)
		validations, reason := build(effective, effective.Level(info, &weak, policy.Deny) == policy.Deny)
		if reason != "" && !reasons[reason] {
			reasons[reason] = true
			e.notes = append(e.notes, fmt.Sprintf("%s/%s: %s", info.Factor, info.ID, reason))
		}
		if len(validations) > 0 {
			e.add(info, i, where, validations, failure)
		}
	}
}

// where is the condition under which a rule denies in a part of the policy.
func (e *exporter) where(info policy.RuleInfo, effective *policy.Effective, i int) (condition string, denies bool) {
	conditions := []string{notMirrored}
	for j, ns := range e.policy.Spec().Namespaces {
		switch {
		case j == i:
			conditions = append(conditions, matches(ns.Match))
		case i < 0 || j < i:
			conditions = append(conditions, "!("+matches(ns.Match)+")")
		}
	}
	if info.Factor == "VII" || info.Factor == "VIII" {
		if _, builtIn := rules.Find(info.ID); builtIn {
			conditions = append(conditions, `!variables.workload.matches("^(Job|CronJob)/")`)
		}
	}
	all, profiles := level(info, nil, effective)
	if !all && len(profiles) == 0 {
		return "", false
	}
	if !all {
		conditions = append(conditions, labelled(profiles))
	}
	if own, found := rules.NodeAgentLevels(info.ID); found {
		agents, profiles := level(info, own, effective)
		if !agents {
			condition := `!variables.workload.startsWith("DaemonSet/")`
			if len(profiles) > 0 {
				condition += " || " + labelled(profiles)
			}
			conditions = append(conditions, "("+condition+")")
		}
	}
	for _, x := range e.policy.Spec().Exemptions {
		if x.Holds(info.ID, e.now) && (x.Container == "" || x.Container == "*") {
			conditions = append(conditions, "!("+exempted(x)+")")
		}
	}
	return strings.Join(conditions, " && "), true
}

// level says whether a rule denies, and else, at which profiles of a namespace's label.
func level(info policy.RuleInfo, own *policy.Levels, effective *policy.Effective) (all bool, profiles []string) {
	if effective.Level(info, own, policy.Deny) == policy.Deny {
		return true, nil
	}
	for _, profile := range []policy.Profile{policy.ProfileBaseline, policy.ProfileStrict} {
		if effective.Raised(profile).Level(info, own, policy.Deny) == policy.Deny {
			profiles = append(profiles, profile.String())
		}
	}
	return false, profiles
}

// add writes a policy and its binding.
func (e *exporter) add(info policy.RuleInfo, i int, where string, validations []validation, failure string) {
	name := "twelvefold-" + info.ID
	if i >= 0 {
		name = fmt.Sprintf("%s-%d", name, i)
	}
	var variables []any
	add := func(v variable) {
		variables = append(variables, map[string]any{"name": v.name, "expression": v.expression})
	}
	for _, v := range e.variables(info) {
		add(v)
	}
	add(variable{"judged", where})
	var list []any
	for _, v := range validations {
		for _, more := range v.variables {
			add(more)
		}
		item := map[string]any{"expression": "!variables.judged || (" + v.expression + ")", "message": policy.OneLine(v.message), "reason": "Invalid"}
		if v.messageExpression != "" {
			item["messageExpression"] = v.messageExpression
		}
		list = append(list, item)
	}
	metadata := map[string]any{"name": name, "labels": map[string]any{"app.kubernetes.io/part-of": "twelvefold"},
		"annotations": map[string]any{"twelvefold.dev/policy-hash": e.policy.Hash()}}
	e.objects = append(e.objects, map[string]any{
		"apiVersion": apiVersion, "kind": "ValidatingAdmissionPolicy", "metadata": metadata,
		"spec": map[string]any{
			"failurePolicy": failure,
			"matchConstraints": map[string]any{"resourceRules": []any{map[string]any{
				"apiGroups": []any{""}, "apiVersions": []any{"v1"}, "resources": []any{"pods"}, "operations": []any{"CREATE"}, "scope": "Namespaced"}}},
			"variables": variables, "validations": list,
		},
	}, map[string]any{
		"apiVersion": apiVersion, "kind": "ValidatingAdmissionPolicyBinding", "metadata": metadata,
		"spec": map[string]any{
			"policyName": name, "validationActions": []any{"Deny"},
			"matchResources": map[string]any{"namespaceSelector": map[string]any{
				"matchLabels":      map[string]any{"twelvefold.dev/admission": "enabled"},
				"matchExpressions": []any{map[string]any{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": []any{"kube-system"}}},
			}},
		},
	})
}

const apiVersion = "admissionregistration.k8s.io/v1"

func (e *exporter) yaml() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The denials of policy %s that the API server can judge by itself, in namespaces with twelvefold.dev/admission=enabled.\n", e.policy.Hash())
	fmt.Fprintf(&b, "# Written by twelvefold export vap; write it again after every change of the policy, and when an exemption ends.\n")
	if len(e.notes) > 0 {
		fmt.Fprintln(&b, "# Only the webhook judges:")
	}
	for _, note := range e.notes {
		fmt.Fprintf(&b, "#   %s\n", policy.OneLine(note))
	}
	for _, o := range e.objects {
		text, err := yaml.Marshal(o)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "---\n%s", text)
	}
	return b.Bytes(), nil
}
