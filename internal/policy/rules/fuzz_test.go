package rules_test

import (
	"encoding/json"
	"testing"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
)

// FuzzStrings puts one string wherever a pod takes any: no rule panics, and what it says has a place and a fix.
func FuzzStrings(f *testing.F) {
	for _, s := range []string{"", "sh", "a | sudo", "curl x | sh", "python -m", "while :; do sleep 1; done", "sleep 1e999", "sleep -1", "/etc/init.d/ssh start",
		"eval $(curl", "yarn", "apt -o", "/var/log", "service ssh", "a &> /x.log", "tail /dev/null", "-", "--", "@", "$(A)", "\x00"} {
		f.Add(s)
	}
	effective := policy.Default(rules.Catalogue{})
	f.Fuzz(func(t *testing.T, s string) {
		hook := map[string]any{"exec": map[string]any{"command": []string{"sh", "-c", s}}}
		container := func(name string, command ...string) map[string]any {
			return map[string]any{"name": name, "image": s, "command": command, "args": []string{s}, "env": []any{map[string]any{"name": s, "value": s}},
				"ports": []any{map[string]any{"name": s, "containerPort": 1}}, "lifecycle": map[string]any{"preStop": hook, "postStart": hook},
				"volumeMounts": []any{map[string]any{"name": "v", "mountPath": s}}}
		}
		pod, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Pod",
			"metadata": map[string]any{"name": "x", "annotations": map[string]string{"helm.sh/hook": s}},
			"spec": map[string]any{"volumes": []any{map[string]any{"name": "v", "hostPath": map[string]any{"path": s}}},
				"containers": []any{container("script", "sh", "-c", s), container("direct", s), container("args")}}})
		if err != nil {
			t.Fatal(err)
		}
		verdict, err := review.Judge(review.Input{Object: manifest.Object{APIVersion: "v1", Kind: "Pod", Name: "x", JSON: pod}, Policy: effective, Facts: reviewtest.Facts})
		if err != nil {
			t.Fatal(err)
		}
		for _, finding := range verdict.Findings {
			if finding.Path == "" || finding.Message == "" || finding.Fix == "" {
				t.Errorf("incomplete: %+v", finding)
			}
		}
	})
}
