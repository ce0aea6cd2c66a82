package expression_test

import (
	"fmt"
	"strings"
	"testing"

	"twelvefold.dev/internal/policy/expression"
)

func variables() map[string]any {
	pod := map[string]any{
		"metadata": map[string]any{"name": "api", "labels": map[string]any{"team": "shop", "version": "1.4.2"}},
		"spec": map[string]any{"priority": int64(3), "containers": []any{map[string]any{"name": "api", "image": "shop:1",
			"env":       []any{map[string]any{"name": "PASSWORD", "value": "hunter2"}},
			"resources": map[string]any{"limits": map[string]any{"memory": "512Mi"}}}}},
	}
	return map[string]any{"object": pod, "params": map[string]any{"max": 1.5},
		"namespace": map[string]any{"name": "shop", "labels": map[string]string{"tier": "prod"}}}
}

// Kubernetes' libraries are there, and all variables.
func TestConditions(t *testing.T) {
	for text, want := range map[string]bool{
		`has(object.metadata.labels.team)`:                                                              true,
		`has(object.metadata.labels.owner)`:                                                             false,
		`pod.metadata.name == object.metadata.name`:                                                     true,
		`object.spec.priority > params.max`:                                                             true,
		`namespace.name == "shop" && namespace.labels.tier == "prod"`:                                   true,
		`quantity(object.spec.containers[0].resources.limits.memory).isLessThan(quantity("1Gi"))`:       true,
		`semver(object.metadata.labels.version).isLessThan(semver("1.0.0"))`:                            false,
		`object.spec.containers[0].image.find("[a-z]+") == "shop"`:                                      true,
		`[3, 1, 2].isSorted()`:                                                                          false,
		`[1, 2, 2].distinct().size() == 2`:                                                              true,
		`sets.contains(["a", "b"], ["a"])`:                                                              true,
		`ip("10.0.0.1").family() == 4 && cidr("10.0.0.0/8").containsIP("10.0.0.1")`:                     true,
		`url("https://example.com/x").getHost() == "example.com"`:                                       true,
		`!format.dns1123Label().validate(object.metadata.name).hasValue()`:                              true,
		`object.metadata.?labels[?"team"].orValue("") == "shop"`:                                        true,
		`object.spec.containers.all(c, c.image.contains(":")) && "a,b".split(",").join("-") == "a-b"`:   true,
		`object.metadata.labels.all(key, value, key != "" && value != "")`:                              true,
		`object.spec.containers[0].image.matches("^shop") || dyn(object.spec.containers[0]) == "never"`: true,
	} {
		p, mistakes := expression.Condition(text)
		if mistakes != nil {
			t.Errorf("%s: %v", text, mistakes)
			continue
		}
		if got, err := p.True(variables(), &expression.Budget{}); err != nil || got != want {
			t.Errorf("%s is %t, %v", text, got, err)
		}
	}
}

func TestMistakesAreFoundWhenCompiled(t *testing.T) {
	for text, want := range map[string]string{
		"object.":                          "1 Syntax error",
		"true &&\nfalse &&\nnope":          "3 undeclared reference to 'nope'",
		"a &&\nb":                          "1 undeclared reference to 'a' 2 undeclared reference to 'b'", // all of them
		`"text"`:                           "1 its type is string; want bool",
		`object.spec`:                      "1 it may be anything, not only true or false; compare it: object.spec == true, or ask whether it is there: has(object.spec)",
		`params.a ? object.spec : false`:   "1 it may be anything, not only true or false; compare it: (params.a ? object.spec : false) == true",
		`authorizer.path("/").allowed()`:   "1 undeclared reference to 'authorizer'",
		`"a".matches("[")`:                 "1 invalid matches argument",
		strings.Repeat("true && ", 2000):   "1 16000 bytes; at most 8192",
		strings.Repeat("(", 1000) + "true": "1 ",
	} {
		program, mistakes := expression.Condition(text)
		var told []string
		for _, m := range mistakes {
			told = append(told, fmt.Sprint(m.Line, " ", m))
		}
		if program != nil || !strings.HasPrefix(strings.Join(told, " "), want) {
			t.Errorf("%.40s: %q", text, told)
		}
	}
	for text, want := range map[string]string{
		"true":                           "its type is bool; want string",
		"object.metadata.name":           "it may be anything, not only text; write string(object.metadata.name)",
		"[object][0]":                    "it may be anything, not only text; write string([object][0])",
		"'a' + object.metadata.name":     "",
		"string(object.metadata.labels)": "",
	} {
		got := ""
		if _, mistakes := expression.Text(text); mistakes != nil {
			got = mistakes[0].Error()
		}
		if got != want {
			t.Errorf("message %s: %q", text, got)
		}
	}
}

func TestRename(t *testing.T) {
	names := map[string]string{"pod": "variables.pod", "namespace": "ns"}
	for text, want := range map[string]string{
		`pod.spec.pod == namespace.name`:            `variables.pod.spec.pod == ns.name`,
		`"pod" + 'namespace' + r"pod\" + pod`:       `"pod" + 'namespace' + r"pod\" + variables.pod`,
		`"\"pod" + pod`:                             `"\"pod" + variables.pod`,
		`"""pod " pod""" + pod // pod` + "\n + pod": `"""pod " pod""" + variables.pod // pod` + "\n + variables.pod",
		`a . pod + a.?pod + podx + x_pod + a[?pod]`: `a . pod + a.?pod + podx + x_pod + a[?variables.pod]`,
		`x ? pod : namespace`:                       `x ? variables.pod : ns`,
		"a.`pod` + pod":                             "a.`pod` + variables.pod",
		`'pod`:                                      `'pod`,
		`rb'pod' + pod`:                             `rb'pod' + variables.pod`,
		`"a" in object.metadata.annotations && namespace.labels.all(namespace, v, v == namespace)`: `"a" in object.metadata.annotations && ns.labels.all(ns, v, v == ns)`,
	} {
		if got := expression.Rename(text, names); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// No value of the pod stands in an error: it may be a secret.
func TestErrorsTellNoValue(t *testing.T) {
	for text, want := range map[string]string{
		`object.metadata.labels.owner == "a"`:                                   "no such key: owner",
		`int(object.spec.containers[0].env[0].value) > 3`:                       "can't be converted",
		`quantity(object.spec.containers[0].env[0].value).asInteger() > 0`:      "can't be converted",
		`object.metadata.labels[object.spec.containers[0].env[0].value] == "a"`: "can't be converted",
		`object.spec.containers[7].name == "a"`:                                 "index is out of bounds",
		`object.spec.priority / (object.spec.priority - 3) == 1`:                "division by zero",
		`object.metadata.name > 3`:                                              "no such overload",
	} {
		p, mistakes := expression.Condition(text)
		if mistakes != nil {
			t.Errorf("%s: %v", text, mistakes)
			continue
		}
		_, err := p.True(variables(), &expression.Budget{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v; want %s", text, err, want)
		}
	}
}

// An expression that would run for ever ends soon, and so does a policy of many.
func TestCostIsBounded(t *testing.T) {
	list := "[" + strings.Repeat("1,", 200) + "1]"
	p, mistakes := expression.Condition(fmt.Sprintf("%[1]s.all(a, %[1]s.all(b, %[1]s.all(c, %[1]s.all(d, a + b + c + d > 0))))", list))
	if mistakes != nil {
		t.Fatal(mistakes)
	}
	budget := &expression.Budget{}
	var last error
	for range 1000 {
		if _, last = p.True(variables(), budget); last == nil {
			t.Fatal("it ended")
		}
	}
	if !strings.Contains(last.Error(), "together") {
		t.Errorf("after a thousand: %v", last)
	}
}

// Whatever an expression is, it ends soon, with a result or an error, and never in a panic.
func FuzzCondition(f *testing.F) {
	for _, text := range []string{`has(object.metadata.labels.team)`, `object.spec.containers.all(c, c.image.matches("^[a-z]+:[0-9.]+$"))`,
		`semver("1.2.3").major() > params.max`, `namespace.labels[?"a"].hasValue()`, `((((`, `"\x00".replace("", "aaaa")`, `[1].map(x, [x].map(y, y))`,
		`quantity("1Gi").add(quantity("1")).isGreaterThan(quantity("1Mi"))`, `object.metadata.labels.exists(k, v, k == v)`} {
		f.Add(text)
	}
	vars := variables()
	f.Fuzz(func(t *testing.T, text string) {
		for _, compile := range []func(string) (*expression.Program, []expression.Error){expression.Condition, expression.Text} {
			p, mistakes := compile(text)
			if mistakes != nil {
				continue
			}
			if _, err := p.True(vars, &expression.Budget{}); err != nil && strings.Contains(err.Error(), "hunter2") && !strings.Contains(text, "hunter2") {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}
