package rules_test

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
)

// No finding of any rule holds a value that a rule about secrets speaks of, in any of the fixtures that fail.
func TestFindingsDoNotHoldSecrets(t *testing.T) {
	checked := 0
	for _, id := range []string{"literal-secret", "credential-url", "suspect-secret"} {
		for _, file := range reviewtest.Files(t, filepath.Join("testdata", id, "fail", "*.yaml")) {
			for _, input := range reviewtest.Load(t, file) {
				verdict, err := review.Full(input)
				if err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				template, ok, err := input.Object.Template()
				if err != nil || !ok {
					continue
				}
				var pod corev1.Pod
				if err := json.Unmarshal(template.JSON, &pod); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				for _, f := range verdict.Findings {
					said := f.Message + "\n" + f.Fix + "\n" + f.Warning()
					for _, secret := range secretsOf(pod) {
						checked++
						if strings.Contains(said, secret) {
							t.Errorf("%s: %s at %s says a value of the pod", file, f.Rule, f.Path)
						}
					}
				}
			}
		}
	}
	if checked == 0 {
		t.Error("nothing was checked")
	}
}

// secretsOf are the values of the variables, and whatever else of the pod is long enough to be told from a word.
func secretsOf(pod corev1.Pod) (values []string) {
	add := func(texts ...string) {
		for _, text := range texts {
			for _, part := range append(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ;,&@:/'\"=", r) }), text) {
				if len(part) >= 12 || part == "hunter2" {
					values = append(values, part)
				}
			}
		}
	}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, e := range c.Env {
			add(e.Value)
		}
		for _, word := range slices.Concat(c.Command, c.Args) {
			if i := strings.IndexByte(word, '='); strings.HasPrefix(word, "-") && i >= 0 {
				add(word[i+1:])
			}
		}
	}
	add(slices.Collect(maps.Values(pod.Annotations))...)
	return values
}
