package vap

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/expression"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func parse(t *testing.T, spec string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte("apiVersion: "+policy.APIVersion+"\nkind: "+policy.Kind+"\nspec:\n"+spec), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func export(t *testing.T, spec string) string {
	t.Helper()
	text, err := Export(parse(t, spec), now)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A rule that can deny is exported, or stands in a comment with the reason.
func TestNothingIsLeftOut(t *testing.T) {
	for _, r := range rules.All() {
		text := export(t, "  profile: off\n  rules: {"+r.ID+": {level: deny}}\n")
		noted := strings.Contains(text, "#   "+string(r.Factor)+"/"+r.ID+": ")
		if written := strings.Contains(text, "name: twelvefold-"+r.ID+"\n"); !written && !noted {
			t.Errorf("%s: neither written nor explained", r.ID)
		}
		// A namespace's label may raise what warns.
		text = export(t, "  profile: off\n  rules: {"+r.ID+": {level: warn}}\n")
		if strings.Contains(text, "name: twelvefold-"+r.ID+"\n") && !strings.Contains(strings.Join(strings.Fields(text), " "), `namespaceObject.metadata.?labels[?"twelvefold.dev/profile"]`) {
			t.Errorf("%s warns only, and is exported as if it denied", r.ID)
		}
	}
}

func TestFormsAreOfRules(t *testing.T) {
	for id := range forms {
		if _, known := rules.Find(id); !known {
			t.Errorf("there is no rule %s", id)
		}
		if _, both := reasons[id]; both {
			t.Errorf("%s has a form, and a reason to have none", id)
		}
	}
}

func TestCustomRulesThatCannotBeExported(t *testing.T) {
	text := export(t, "  customRules:\n  - {id: shadow, factor: I, level: deny, message: m, expression: \"object.spec.containers.all(pod, pod.name != '')\"}\n"+
		"  - {id: whole, factor: I, level: deny, message: m, expression: has(object.metadata.labels)}\n"+
		"  - {id: warns, factor: I, level: warn, message: m, expression: has(object.metadata.labels)}\n"+
		"  - {id: right, factor: I, level: deny, message: m, expression: 'has(object.metadata.labels.team)'}\n")
	for _, want := range []string{"#   I/whole: its expression can't be translated: invalid argument to has() macro", "name: twelvefold-right\n", "has(object.metadata.?labels.orValue({}).team)", "name: twelvefold-shadow\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("want %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, "warns") {
		t.Error("a rule that warns is exported")
	}
}

// The API server would show what a message makes of a secret.
func TestCustomMessagesThatMayShowSecrets(t *testing.T) {
	rule := "  customRules:\n  - {id: own, factor: I, level: deny, message: fixed, expression: \"object.spec.containers.size() > 1\", messageExpression: %s}\n"
	for expression, exported := range map[string]bool{
		`"'made of ' + string(object.spec.containers[0].name)"`:         true,
		`"'made of ' + string(object.spec.containers[0].env[0].value)"`: false,
		`"'made of ' + string(object.metadata['annotations']['a'])"`:    false,
	} {
		if got := strings.Contains(export(t, fmt.Sprintf(rule, expression)), "made of"); got != exported {
			t.Errorf("%s is exported: %t", expression, got)
		}
	}
}

// An exemption that has ended is none; one of a later day must be exported anew by then.
func TestExemptions(t *testing.T) {
	if text := export(t, "  exemptions:\n  - {rules: [mutable-tag], namespace: old, reason: r, owner: o, expires: 2026-11-01}\n"); !strings.Contains(text, "^(?:old)$") {
		t.Error("an exemption is left out on its last day")
	}
	if text := export(t, "  exemptions:\n  - {rules: [mutable-tag], namespace: old, reason: r, owner: o, expires: 2026-10-31}\n"); strings.Contains(text, "^(?:old)$") {
		t.Error("an expired exemption holds")
	}
}

// The pods of a CronJob name its Job alone, and a bare pod names nothing.
func TestExemptedWorkloads(t *testing.T) {
	all := ""
	for id := range forms {
		all += id + ": {level: deny}, "
	}
	p := parse(t, "  rules: {"+all+"}\n"+`  allowedRequesters: [somebody]
  namespaces: [{match: {names: [shop]}, environment: production}]
  exemptions:
  - {rules: [mutable-tag], workload: CronJob/backup, reason: r, owner: o, expires: 2027-01-01}
  - {rules: [mutable-tag], workload: Pod/probe, reason: r, owner: o, expires: 2027-01-01}
`)
	denies := judgesOf(t, p)["mutable-tag"]
	for _, test := range []struct {
		name, owners string
		want         bool
	}{
		{"backup-29402280-x", `{"apiVersion": "batch/v1", "kind": "Job", "name": "backup-29402280", "controller": true}`, false},
		{"backup-2-x", `{"apiVersion": "batch/v1", "kind": "Job", "name": "backup-2", "controller": true}`, true},
		{"probe", "", false},
		{"probe", `{"apiVersion": "batch/v1", "kind": "Job", "name": "probe", "controller": true}`, true},
		{"backup", "", true},
		{"probe", `{"apiVersion": "example.com/v1", "kind": "Probe", "name": "a", "controller": true}`, false},
		{"a", `{"apiVersion": "example.com/v1", "kind": "Probe", "name": "probe", "controller": true}`, true},
	} {
		data := []byte(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "` + test.name + `", "ownerReferences": [` + test.owners + `]}, "spec": {"containers": [{"name": "a", "image": "a:latest"}]}}`)
		var object map[string]any
		if err := json.Unmarshal(data, &object); err != nil {
			t.Fatal(err)
		}
		if got := denies(t, object); got != test.want {
			t.Errorf("%s of %s: exported: denied is %t", test.name, test.owners, got)
		}
		verdict, err := review.Judge(review.Input{Policy: p, Object: manifest.Object{APIVersion: "v1", Kind: "Pod", JSON: data},
			Facts: policy.Facts{Now: now, Namespace: "shop", Requester: "somebody"}})
		found := slices.ContainsFunc(verdict.Findings, func(f policy.Finding) bool { return f.Rule == "mutable-tag" })
		if err != nil || found != test.want {
			t.Errorf("%s of %s: webhook: %v, %v", test.name, test.owners, verdict.Findings, err)
		}
	}
}

// A glob matches the same in Go and in the API server.
func TestGlobs(t *testing.T) {
	texts := []string{"", "a", "prod-shop", "prod-", "Deployment/shop", "Deployment/", "a.b", "axb", "b", "]", "[a]", "a-b", "*", "prod-shop\n", "ü"}
	for _, pattern := range []string{"*", "prod-*", "Deployment/*", "a?b", "a.b", "[a-c]", "[^a]", `\*`, `[\]]`, "*/*", "ü", "a-[b]"} {
		expr := regexp.MustCompile("^(?:" + globRegexp(pattern) + ")$")
		for _, text := range texts {
			if want, _ := path.Match(pattern, text); expr.MatchString(text) != want {
				t.Errorf("%q matches %q: %t", pattern, text, !want)
			}
		}
	}
}

func TestLiterals(t *testing.T) {
	text, err := literal(map[string]any{"a": []any{1, 1.5, "ü\"\n", true, nil}, "b": map[string]any{}})
	if err != nil || text != `{"a": dyn([dyn(1), dyn(double("1.5")), dyn("\u00fc\"\n"), dyn(true), dyn(null)]), "b": dyn({})}` {
		t.Errorf("%s, %v", text, err)
	}
	if err := expression.CheckAdmission(text); err != nil {
		t.Error(err)
	}
	if _, err := literal(now); err == nil {
		t.Error("a time has a literal")
	}
}
