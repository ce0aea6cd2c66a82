// Package vap writes a policy's denials as ValidatingAdmissionPolicies: a backstop in the API server itself, for what
// CEL can express. It is never stricter than the webhook.
package vap

import (
	"bytes"
	"fmt"
	"slices"
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
			f.leaves = reasonOf(r.ID)
		}
		e.export(r.RuleInfo, f, func(in part) (validation, string) { return f.validation(r, in), f.leaves })
	}
	for _, c := range p.Custom() {
		// What can't be evaluated warns in the webhook, so it passes here; templates are judged as the webhook mends them.
		e.export(c.RuleInfo, form{podOnly: true, costly: true}, func(in part) (validation, string) { return custom(c, in.effective) })
	}
	return e.yaml()
}

// validation is a condition that must be true, and what is said where it isn't. Without a condition nothing is judged.
type validation struct {
	condition, message, messageExpression string
	variables                             []variable
}

type variable struct{ name, expression string }

type exporter struct {
	policy  *policy.Policy
	now     time.Time
	notes   []string
	mended  []string // rules whose templates are left to the webhook
	objects []any
}

// validation says what the rule's page does, and names the containers.
func (f form) validation(r *rules.Rule, in part) validation {
	var v validation
	var conditions, right []string
	if f.pod != nil {
		conditions = append(conditions, "("+f.pod(in)+")")
	}
	if f.volume != nil {
		v.variables = append(v.variables, variable{"volumes", fmt.Sprintf("variables.spec.?volumes.orValue([]).filter(v, %s).map(v, v.name)", f.volume(in))})
		right = append(right, map[bool]string{false: mounts, true: writes}[f.readOnly])
	}
	if f.container != nil {
		text := f.container(in)
		if text == "" {
			return validation{}
		}
		right = append(right, "("+text+")")
	}
	names := `""`
	if len(right) > 0 {
		among := "variables.containers"
		if f.running {
			among = "variables.running"
		}
		v.variables = append(v.variables, variable{"wrong", fmt.Sprintf("%s.filter(c, !(%s))", among, strings.Join(right, " && "))})
		conditions = append(conditions, "variables.wrong.size() == 0")
		names = `(variables.wrong.size() == 0 ? "" : " in " + variables.wrong.map(c, c.name).join(", "))`
	}
	if len(conditions) == 0 {
		return v
	}
	v.condition = strings.Join(conditions, " && ")
	rule := fmt.Sprintf("%s/%s", r.Factor, r.ID)
	text := policy.OneLine(fmt.Sprintf(": %s. %s (twelvefold explain %s)", strings.TrimSuffix(r.Title, "."), r.Page.Fix, r.ID))
	v.message = rule + text
	v.messageExpression = fmt.Sprintf("variables.prefix + %s + %s + %s", quote(rule), names, quote(text))
	return v
}

// export writes a rule for every part of the policy in which it denies. A builder makes the validation of a rule, or says
// why it can't; one and a reason mean that there is more to the rule.
func (e *exporter) export(info policy.RuleInfo, f form, build func(part) (validation, string)) {
	reasons := map[string]bool{}
	for i := -1; i < len(e.policy.Spec().Namespaces); i++ {
		effective := e.policy.Within(i)
		where, denies := e.where(info, effective, i)
		if !denies {
			continue
		}
		weak := policy.At(policy.Warn)
		v, reason := build(part{effective, info, effective.Level(info, &weak, policy.Deny) == policy.Deny})
		if reason != "" && !reasons[reason] {
			reasons[reason] = true
			e.notes = append(e.notes, fmt.Sprintf("%s/%s: %s", info.Factor, info.ID, reason))
		}
		if v.condition == "" {
			continue
		}
		if f.unless != "" {
			where += " && !(" + f.unless + ")"
		}
		if info.Repair != policy.NotRepaired && !slices.Contains(e.mended, info.ID) {
			e.mended = append(e.mended, info.ID)
		}
		e.add(info, f, i, where, v)
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
	if _, builtIn := rules.Find(info.ID); builtIn && rules.ExemptsJobs(info) {
		conditions = append(conditions, "!"+job)
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

// add writes a policy and its bindings: one that denies, and one that warns of templates whose pods will be denied.
func (e *exporter) add(info policy.RuleInfo, f form, i int, where string, v validation) {
	name := "twelvefold-" + info.ID
	if i >= 0 {
		name = fmt.Sprintf("%s-%d", name, i)
	}
	var variables []any
	for _, v := range slices.Concat(e.variables(info, f), []variable{{"judged", where}}, v.variables) {
		variables = append(variables, map[string]any{"name": v.name, "expression": v.expression})
	}
	check := map[string]any{"expression": "!variables.judged || " + v.condition, "message": policy.OneLine(v.message), "reason": "Invalid"}
	if v.messageExpression != "" {
		check["messageExpression"] = v.messageExpression
	}
	spec := map[string]any{"failurePolicy": "Fail", "variables": variables, "validations": []any{check}}
	if f.costly {
		spec["failurePolicy"] = "Ignore"
	}
	denied := pods
	if f.ephemeral {
		denied = append(slices.Clone(denied), ephemeralContainers)
	}
	matched, warned := denied, []any(nil)
	if f.templates(info) {
		matched, warned = append(slices.Clone(denied), workloads("CREATE", "UPDATE")...), workloads("CREATE", "UPDATE")
		if e.policy.DeniesTemplates() { // but for updates: they may not be what made it wrong
			denied, warned = append(slices.Clone(denied), workloads("CREATE")...), workloads("UPDATE")
		}
		spec["matchConditions"] = []any{map[string]any{"name": "new-template", "expression": newTemplate}}
	}
	spec["matchConstraints"] = map[string]any{"resourceRules": matched}
	e.object("ValidatingAdmissionPolicy", name, spec)
	e.bind(name, name, "Deny", denied)
	if warned != nil {
		e.bind(name+"-templates", name, "Warn", warned)
	}
}

func (e *exporter) bind(name, policyName, action string, resources []any) {
	e.object("ValidatingAdmissionPolicyBinding", name, map[string]any{
		"policyName": policyName, "validationActions": []any{action},
		"matchResources": map[string]any{
			"resourceRules": resources,
			"namespaceSelector": map[string]any{
				"matchLabels": map[string]any{"twelvefold.dev/admission": "enabled"},
				"matchExpressions": []any{
					map[string]any{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": policy.SystemNamespaces},
					map[string]any{"key": "control-plane", "operator": "NotIn", "values": []string{"true"}},
					map[string]any{"key": "kubernetes.azure.com/managedby", "operator": "NotIn", "values": []string{"aks"}},
				},
			}},
	})
}

func (e *exporter) object(kind, name string, spec map[string]any) {
	e.objects = append(e.objects, map[string]any{"apiVersion": apiVersion, "kind": kind, "spec": spec, "metadata": map[string]any{"name": name,
		"labels":      map[string]any{"app.kubernetes.io/part-of": "twelvefold", "twelvefold.dev/exported": "vap"},
		"annotations": map[string]any{"twelvefold.dev/policy-hash": e.policy.Hash()}}})
}

func resources(group string, operations []any, names ...any) map[string]any {
	return map[string]any{"apiGroups": []any{group}, "apiVersions": []any{"v1"}, "resources": names, "operations": operations, "scope": "Namespaced"}
}

var (
	pods                = []any{resources("", []any{"CREATE"}, "pods")}
	ephemeralContainers = resources("", []any{"UPDATE"}, "pods/ephemeralcontainers")
)

func workloads(operations ...any) []any {
	return []any{resources("apps", operations, "deployments", "statefulsets", "daemonsets", "replicasets"), resources("batch", operations, "jobs", "cronjobs")}
}

const apiVersion = "admissionregistration.k8s.io/v1"

func (e *exporter) yaml() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The denials of policy %s that the API server can judge by itself, in namespaces with twelvefold.dev/admission=enabled.\n", e.policy.Hash())
	fmt.Fprintf(&b, "# Written by twelvefold export vap; write it again after every change of the policy, and when an exemption ends.\n")
	if len(e.notes)+len(e.mended) > 0 {
		fmt.Fprintln(&b, "# What is left to the webhook:")
	}
	for _, note := range e.notes {
		fmt.Fprintf(&b, "#   %s\n", policy.OneLine(note))
	}
	if len(e.mended) > 0 {
		fmt.Fprintf(&b, "#   templates of workloads, which the webhook may mend: %s\n", strings.Join(e.mended, ", "))
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
