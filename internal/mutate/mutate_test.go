package mutate_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"twelvefold.dev/internal/mutate"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
)

// Every mutator has cases: a directory each below testdata/<mutator>, with in.yaml, and what comes of it in out.yaml.
func TestFixtures(t *testing.T) {
	for _, m := range mutate.All() {
		for _, file := range reviewtest.Files(t, filepath.Join("testdata", m.Name, "*", "in.yaml")) {
			dir := filepath.Dir(file)
			t.Run(m.Name+"/"+filepath.Base(dir), func(t *testing.T) {
				reviewtest.Golden(t, filepath.Join(dir, "out.yaml"), mutated(t, file))
			})
		}
	}
}

// mutated shows what the mutators have to say about each object that has a pod, as comments, and then the object as they
// left it. An object that is refused is not shown.
func mutated(t *testing.T, file string) []byte {
	t.Helper()
	var text bytes.Buffer
	for _, input := range reviewtest.Load(t, file) {
		if _, hasPod, _ := input.Object.Template(); !hasPod {
			continue
		}
		verdict, err := review.Mutate(input)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		text.WriteString("---\n")
		for _, f := range verdict.Findings {
			if isMutator(f.Rule) {
				fmt.Fprintf(&text, "# %s\n", strings.ReplaceAll(fmt.Sprintf("%s %s", f.Level, f), "\n", "\n# "))
			}
		}
		if verdict.Denied() {
			continue
		}
		object, err := yaml.JSONToYAML(reviewtest.Apply(t, input.Object, verdict).JSON)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(object)
	}
	return text.Bytes()
}

// What mutators find has their name, which is no rule's of a policy's own.
func TestPoliciesKnowTheNames(t *testing.T) {
	var names []string
	for _, m := range mutate.All() {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, policy.Injectors) {
		t.Errorf("mutators %q; policies know %q", names, policy.Injectors)
	}
}

func isMutator(name string) bool {
	return slices.ContainsFunc(mutate.All(), func(m *mutate.Mutator) bool { return m.Name == name })
}

func TestNoStaleFixtures(t *testing.T) {
	for _, file := range reviewtest.Files(t, filepath.Join("testdata", "*", "*", "*")) {
		dir, name := filepath.Split(file)
		if mutator := filepath.Base(filepath.Dir(filepath.Clean(dir))); !isMutator(mutator) {
			t.Errorf("%s: there is no mutator %s", file, mutator)
		}
		if name != "in.yaml" && name != "out.yaml" {
			t.Errorf("%s: a case has in.yaml and out.yaml, nothing else", file)
		}
		if _, err := os.Stat(filepath.Join(dir, "in.yaml")); err != nil {
			t.Errorf("%s has no input: %v", file, err)
		}
	}
}
