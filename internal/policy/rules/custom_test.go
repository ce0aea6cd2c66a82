package rules_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
)

// Beside a fixture with rules of its own stands what they say.
func TestCustomRules(t *testing.T) {
	for _, file := range reviewtest.Files(t, "testdata/custom/*.yaml") {
		var found bytes.Buffer
		for _, input := range reviewtest.Load(t, file) {
			verdict, err := review.Full(input)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			for _, f := range verdict.Findings {
				if f.Custom {
					fmt.Fprintf(&found, "%s/%s:%d: %s %s\n", input.Object.Kind, input.Object.Name, input.Object.LineOf(f.Path), f.Level, f)
				}
			}
		}
		if bytes.Contains(found.Bytes(), []byte("hunter2")) {
			t.Errorf("%s: a finding shows a secret:\n%s", file, found.Bytes())
		}
		reviewtest.Golden(t, strings.TrimSuffix(file, ".yaml")+".txt", found.Bytes())
	}
}

// An update is judged by what it makes worse, a custom rule's findings too.
func TestCustomRulesRatchet(t *testing.T) {
	p, err := policy.Parse([]byte("apiVersion: "+policy.APIVersion+"\nkind: "+policy.Kind+`
spec: {customRules: [{id: team, factor: I, level: deny, expression: has(object.metadata.labels.team), message: m}]}`), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	object := func(labels string) manifest.Object {
		return manifest.Object{APIVersion: "v1", Kind: "Pod", Name: "a", JSON: []byte(`{"metadata":{"name":"a","labels":{` + labels + `}},"spec":{"containers":[{"name":"a","image":"a:1"}]}}`)}
	}
	denies := func(old, updated manifest.Object) bool {
		verdict, err := review.Judge(review.Input{Object: updated, Old: &old, Policy: p, Facts: reviewtest.Facts})
		if err != nil {
			t.Fatal(err)
		}
		return verdict.Denied()
	}
	if denies(object(""), object(`"a":"b"`)) {
		t.Error("what was wrong before denies")
	}
	if !denies(object(`"team":"b"`), object("")) {
		t.Error("what became wrong doesn't deny")
	}
}

// A factor that only a rule of the policy's own looks at has been looked at.
func TestCustomRulesAssess(t *testing.T) {
	p, err := policy.Parse([]byte("apiVersion: "+policy.APIVersion+"\nkind: "+policy.Kind+`
spec: {profile: off, rules: {on: {level: audit}}, customRules: [{id: on, factor: VII, expression: "true", message: m}, {id: off, factor: I, expression: "true", message: m}]}`), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	got := rules.Assessed(rules.NewSubject(&corev1.Pod{}, p.For("shop", nil), reviewtest.Facts))
	if !got["VII"] || len(got) != 1 {
		t.Errorf("assessed: %v", got)
	}
}

// What takes the square of its input must not keep the webhook busy: a pod that is far too large warns.
func TestCustomRulesAreBounded(t *testing.T) {
	p, err := policy.Parse([]byte("apiVersion: "+policy.APIVersion+"\nkind: "+policy.Kind+`
spec: {customRules: [
  {id: a, factor: I, level: deny, expression: "sets.contains(object.spec.containers[0].env, object.spec.containers[0].env)", message: m},
  {id: b, factor: I, level: deny, expression: "object.spec.containers[0].env.distinct().size() > 0", message: m},
  {id: c, factor: I, level: deny, expression: "object.spec.containers[0].env.all(a, object.spec.containers[0].env.all(b, a.name != b.name || a == b))", message: m}]}`), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{800, 3000} { // of 75 bytes each
		var env []string
		for i := range n {
			env = append(env, fmt.Sprintf(`{"name":"N%06d","value":%q}`, i, strings.Repeat("x", 44)))
		}
		verdict, err := review.Judge(review.Input{Object: manifest.Object{APIVersion: "v1", Kind: "Pod", Name: "a",
			JSON: []byte(`{"metadata":{"name":"a"},"spec":{"containers":[{"name":"a","image":"a:1","env":[` + strings.Join(env, ",") + `]}]}}`)},
			Policy: p, Facts: reviewtest.Facts})
		if err != nil {
			t.Fatal(err)
		}
		warned := 0
		for _, f := range verdict.Findings {
			if f.Custom && f.Level == policy.Warn {
				warned++
			}
		}
		if warned == 0 || n == 3000 && warned != 3 || verdict.Denied() {
			t.Errorf("%d variables: %v", n, verdict.Findings)
		}
	}
}

// Twenty rules must not be felt: the request has other things to wait for.
func BenchmarkCustomRules(b *testing.B) {
	var text strings.Builder
	text.WriteString("apiVersion: " + policy.APIVersion + "\nkind: " + policy.Kind + "\nspec:\n  profile: off\n  rules: &all\n")
	for i := range 20 {
		fmt.Fprintf(&text, "    rule-%d: {level: warn}\n", i)
	}
	text.WriteString("  customRules:\n")
	expressions := []string{`has(object.metadata.labels.team)`,
		`object.spec.containers.all(c, c.image.matches("^contoso[.]azurecr[.]io/"))`,
		`object.spec.containers.all(c, has(c.resources) && quantity(c.resources.limits.memory).isLessThan(quantity("2Gi")))`,
		`object.spec.containers.all(c, !has(c.env) || c.env.all(e, !e.name.contains("PASSWORD") || !has(e.value)))`,
		`namespace.name.startsWith("shop") && object.metadata.annotations.all(key, key.size() < 64)`}
	for i := range 20 {
		fmt.Fprintf(&text, "  - {id: rule-%d, factor: I, expression: '%s', message: m}\n", i, expressions[i%len(expressions)])
	}
	p, err := policy.Parse([]byte(text.String()), rules.Catalogue{})
	if err != nil {
		b.Fatal(err)
	}
	var containers []string
	for i := range 5 {
		containers = append(containers, fmt.Sprintf(`{"name":"c%d","image":"contoso.azurecr.io/shop:1.4.%d","resources":{"limits":{"memory":"512Mi"}},"env":[%s{"name":"LAST","value":"a"}]}`,
			i, i, strings.Repeat(`{"name":"SETTING","value":"value"},`, 20)))
	}
	input := review.Input{Object: manifest.Object{APIVersion: "v1", Kind: "Pod", Name: "a",
		JSON: []byte(`{"metadata":{"name":"a","labels":{"team":"shop"},"annotations":{"a":"b"}},"spec":{"containers":[` + strings.Join(containers, ",") + `]}}`)},
		Policy: p, Facts: reviewtest.Facts}
	for b.Loop() {
		verdict, err := review.Judge(input)
		if err != nil || len(verdict.Findings) > 0 {
			b.Fatal(verdict.Findings, err)
		}
	}
}
