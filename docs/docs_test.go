// Package docs_test keeps the docs true: pages and tables are generated from the code, and examples are run.
package docs_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"twelvefold.dev/examples"
	"twelvefold.dev/internal/explain"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
	"twelvefold.dev/internal/vap"
)

func TestPagesAreGenerated(t *testing.T) {
	pages := []string{"README.md"}
	index := "# Rules and jobs\n\nGenerated from the code; `twelvefold explain` shows the same.\n\n"
	for _, topic := range explain.Topics() {
		page := topic.ID + ".md"
		reviewtest.Golden(t, filepath.Join("rules", page), []byte(topic.Markdown()))
		index += fmt.Sprintf("- [`%s`](%s): %s\n", topic.ID, page, topic.Title)
		pages = append(pages, page)
	}
	reviewtest.Golden(t, "rules/README.md", []byte(index))
	for _, file := range reviewtest.Files(t, "rules/*") {
		if !slices.Contains(pages, filepath.Base(file)) {
			t.Errorf("%s belongs to no rule", file)
		}
	}
}

// The README's generated parts stand between <!-- name --> and <!-- /name -->.
func TestREADMEIsGenerated(t *testing.T) {
	const file = "../README.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = replacePart(t, text, "rules", explain.Table())
	text = replacePart(t, text, "after", "```yaml\n"+after(t, yamlBlock(t, text, "before"))+"```\n")
	text = replacePart(t, text, "refused", "```\n"+refused(t)+"```\n")
	reviewtest.Golden(t, file, text)
}

// The page of export vap lists what becomes of each rule.
func TestExportIsGenerated(t *testing.T) {
	text, err := os.ReadFile("vap.md")
	if err != nil {
		t.Fatal(err)
	}
	table := "| Factor | Rule | Exported |\n|---|---|---|\n"
	for _, r := range rules.All() {
		table += fmt.Sprintf("| %s | [`%s`](rules/%s.md) | %s |\n", r.Factor, r.ID, r.ID, vap.Says(r.RuleInfo))
	}
	reviewtest.Golden(t, "vap.md", replacePart(t, text, "rules", table))
}

func replacePart(t *testing.T, text []byte, name, with string) []byte {
	t.Helper()
	begin, end := []byte("<!-- "+name+" -->\n"), []byte("<!-- /"+name+" -->")
	i, j := bytes.Index(text, begin), bytes.Index(text, end)
	if i < 0 || j < i {
		t.Fatalf("the page has no part %q", name)
	}
	return slices.Concat(text[:i+len(begin)], []byte(with), text[j:])
}

var fence = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// yamlBlock is the first YAML behind <!-- name -->.
func yamlBlock(t *testing.T, text []byte, name string) []byte {
	t.Helper()
	_, rest, found := bytes.Cut(text, []byte("<!-- "+name+" -->"))
	block := fence.FindSubmatch(rest)
	if !found || block == nil {
		t.Fatalf("README.md has no example %q", name)
	}
	return block[1]
}

// after is what the webhook makes of a pod.
func after(t *testing.T, pod []byte) string {
	t.Helper()
	in := load(t, "README.md", pod)
	if len(in) != 1 {
		t.Fatalf("%d objects", len(in))
	}
	in[0].ServiceAccount = identified
	verdict, err := review.Full(in[0])
	if err != nil || verdict.Denied() {
		t.Fatalf("the example is not admitted: %v %v", err, verdict.Findings)
	}
	text, err := yaml.JSONToYAML(reviewtest.Apply(t, in[0].Object, verdict).JSON)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// identified is every service account: it stands for an identity.
func identified(string) (map[string]string, error) {
	return map[string]string{"azure.workload.identity/client-id": "22222222-2222-4222-8222-222222222222",
		"azure.workload.identity/tenant-id": "11111111-1111-4111-8111-111111111111"}, nil
}

// refused is what kubectl prints of a pod like that of examples/refused.yaml.
func refused(t *testing.T) string {
	t.Helper()
	text, err := examples.FS.ReadFile("refused.yaml")
	if err != nil {
		t.Fatal(err)
	}
	in := load(t, "refused.yaml", text)[0]
	causes, _ := findings(t, asPod(t, in))
	return refusal("Pod", in.Object.Name, causes)
}

func load(t *testing.T, file string, text []byte) []review.Input {
	t.Helper()
	objects, err := manifest.Read(bytes.NewReader(text), file)
	if err != nil {
		t.Fatal(err)
	}
	return review.Offline(objects, policy.Default(rules.Catalogue{}), reviewtest.Facts)
}

// Every YAML block of the docs can be read; every policy in them is valid.
func TestExamplesAreValid(t *testing.T) {
	files := append(reviewtest.Files(t, "*.md"), "../README.md", "../CONTRIBUTING.md", "../SECURITY.md")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range fence.FindAllSubmatch(text, -1) {
			if strings.Contains(string(block[1]), "kind: Policy") {
				if _, err := review.LoadPolicy(block[1], rules.Catalogue{}); err != nil {
					t.Errorf("%s: %v\n%s", file, err, block[1])
				}
			}
		}
	}
}
