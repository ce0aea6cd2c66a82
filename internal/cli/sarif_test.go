package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	_ "github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif" // see schema
	"github.com/xeipuuv/gojsonschema"

	"twelvefold.dev/internal/cli"
	"twelvefold.dev/internal/policy/rules"
)

const shop = `# Source: shop/templates/deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  template:
    spec:
      containers:
      - name: shop
        image: shop:latest
        args: ["--log-file=/var/log/a.log"]
      - name: other
        image: other
`

// schema is OASIS' JSON schema of SARIF 2.1.0. The module that is known for it keeps it in a constant of its own, and would
// judge only what it has read itself: hence it is taken from its source.
var schema = sync.OnceValues(func() (*gojsonschema.Schema, error) {
	module, err := build.Import("github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif", ".", build.FindOnly)
	if err != nil {
		return nil, err
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(module.Dir, "schema.go"), nil, 0)
	if err != nil {
		return nil, err
	}
	text, err := strconv.Unquote(file.Scope.Lookup("schema").Decl.(*ast.ValueSpec).Values[0].(*ast.BasicLit).Value)
	if err != nil {
		return nil, err
	}
	return gojsonschema.NewSchema(gojsonschema.NewStringLoader(text))
})

// valid ends the test unless the schema knows all of the text.
func valid(t *testing.T, text []byte) {
	t.Helper()
	s, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.Validate(gojsonschema.NewBytesLoader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, mistake := range found.Errors() {
		t.Errorf("against the schema: %s", mistake)
	}
	if t.Failed() {
		t.FailNow()
	}
}

type result struct {
	RuleID, Level       string
	RuleIndex           int
	PartialFingerprints map[string]string
	Locations           []struct {
		PhysicalLocation struct {
			ArtifactLocation struct{ URI string }
			Region           struct{ StartLine int }
		}
		LogicalLocations []struct{ Name, Kind string }
	}
}

func (r result) String() string {
	l := r.Locations[0]
	return fmt.Sprintf("%s %s %s:%d %s", r.Level, r.RuleID, l.PhysicalLocation.ArtifactLocation.URI, l.PhysicalLocation.Region.StartLine, l.LogicalLocations[len(l.LogicalLocations)-1].Name)
}

// sarif checks manifests, on standard input or in files.
func sarif(t *testing.T, stdin string, args ...string) (results []result) {
	t.Helper()
	var out, again, errs bytes.Buffer
	args = append([]string{"check", "-o", "sarif"}, args...)
	cli.Main(args, strings.NewReader(stdin), &out, &errs)
	cli.Main(args, strings.NewReader(stdin), &again, &errs)
	if errs.Len() > 0 || out.String() != again.String() {
		t.Fatalf("two runs differ, or fail: %s", errs.String())
	}
	valid(t, out.Bytes())
	var log struct {
		Runs []struct {
			Tool struct {
				Driver struct {
					Rules []struct {
						ID                                string
						ShortDescription, FullDescription struct{ Text string }
						Help                              struct{ Text, Markdown string }
					}
				}
			}
			Results []result
		}
	}
	if err := json.Unmarshal(out.Bytes(), &log); err != nil || len(log.Runs) != 1 {
		t.Fatalf("%d runs, %v", len(log.Runs), err)
	}
	described := log.Runs[0].Tool.Driver.Rules
	seen, prints := map[string]bool{}, map[string]bool{}
	for _, r := range described {
		if seen[r.ID] {
			t.Errorf("rule %s is there twice", r.ID)
		}
		if max(len(r.ShortDescription.Text), len(r.FullDescription.Text)) > 1024 { // what code scanning shows
			t.Errorf("the description of rule %s is cut off", r.ID)
		}
		if r.ID != "own" && (!strings.Contains(r.Help.Text, r.ID) || !strings.HasPrefix(r.Help.Markdown, "# ")) { // the policy's own has no page
			t.Errorf("rule %s has no help", r.ID)
		}
		seen[r.ID] = true
	}
	for _, r := range log.Runs[0].Results {
		if r.RuleIndex >= len(described) || described[r.RuleIndex].ID != r.RuleID {
			t.Errorf("result of %s has another rule's index", r.RuleID)
		}
		print := r.PartialFingerprints["twelvefold/v1"]
		if print == "" || prints[print] {
			t.Errorf("%s: its fingerprint is empty or another's, too", r)
		}
		prints[print] = true
		// What code scanning wants beyond the schema: a place for each result, in a file of the repository.
		if len(r.Locations) != 1 || r.Locations[0].PhysicalLocation.Region.StartLine < 1 || r.Locations[0].PhysicalLocation.ArtifactLocation.URI == "" {
			t.Errorf("%s %s is nowhere: %v", r.Level, r.RuleID, r.Locations)
		}
	}
	return log.Runs[0].Results
}

func TestSARIF(t *testing.T) {
	var got []string
	before := sarif(t, shop, "-f", "-")
	for _, r := range before {
		got = append(got, r.String())
	}
	want := []string{
		"warning app-identity stdin:6 shop/templates/deployment.yaml",
		"error mutable-tag stdin:10 shop/templates/deployment.yaml",
		"error mutable-tag stdin:13 shop/templates/deployment.yaml",
		"warning log-file stdin:11 shop/templates/deployment.yaml",
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("no %q in:\n%s", line, strings.Join(got, "\n"))
		}
	}

	// Moved lines leave fingerprints as they are; another object has others.
	fingerprints := func(results []result) (prints []string) {
		for _, r := range results {
			prints = append(prints, r.PartialFingerprints["twelvefold/v1"])
		}
		return prints
	}
	moved := sarif(t, "# a\n\n# b\n"+shop, "-f", "-")
	if moved[1].Locations[0].PhysicalLocation.Region.StartLine == before[1].Locations[0].PhysicalLocation.Region.StartLine {
		t.Error("no line has moved")
	}
	if diff := cmp.Diff(fingerprints(before), fingerprints(moved)); diff != "" {
		t.Errorf("fingerprints moved with the lines (-before +after):\n%s", diff)
	}
	renamed := sarif(t, strings.Replace(shop, "{name: shop}", "{name: shop2}", 1), "-f", "-")
	for _, print := range fingerprints(renamed) {
		if slices.Contains(fingerprints(before), print) {
			t.Error("another object has the same fingerprint")
		}
	}
}

// Every rule finds something in the corpus: whatever a result may be, the schema knows it.
func TestSARIFOfTheCorpus(t *testing.T) {
	for _, dir := range []string{"bad", "good"} {
		found := map[string]bool{}
		for _, r := range sarif(t, "", "-f", "../review/testdata/corpus/"+dir) {
			found[r.RuleID] = true
		}
		if dir == "bad" && len(found) < len(rules.All())/2 {
			t.Errorf("%d rules only", len(found))
		}
	}
	own := "spec: {rules: {own: {level: deny}}, customRules: [{id: own, factor: I, expression: 'false', message: m}]}"
	results := sarif(t, "", "-f", "../review/testdata/corpus/good", "--policy", policyFile(t, own))
	if !slices.ContainsFunc(results, func(r result) bool { return r.RuleID == "own" && r.Level == "error" }) {
		t.Error("nothing of a rule of the policy's own")
	}
}

// Of a file with more than 25,000 results GitHub takes none: those are kept that weigh most.
func TestSARIFIsBounded(t *testing.T) {
	const pods, containers = 100, 70
	var text strings.Builder
	for i := range pods {
		fmt.Fprintf(&text, "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a%d}\nspec:\n  containers:\n", i)
		for j := range containers {
			fmt.Fprintf(&text, "  - {name: c%d, image: a, ports: [{containerPort: 80, hostPort: 80}]}\n", j)
		}
	}
	rules := "spec: {profile: off, rules: {privileged-port: {level: audit}, mutable-tag: {level: deny}, host-port: {level: deny}, requests-missing: {level: warn}}}"
	levels := map[string]int{}
	for _, r := range sarif(t, text.String(), "-f", "-", "--policy", policyFile(t, rules)) {
		levels[r.Level]++
	}
	if want := map[string]int{"error": 2 * pods * containers, "warning": pods * containers, "note": 25_000 - 3*pods*containers}; !maps.Equal(levels, want) {
		t.Errorf("%v; want %v", levels, want)
	}
}

func policyFile(t *testing.T, spec string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte("apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\n"+spec+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// The schema would tell.
func TestSchemaRefuses(t *testing.T) {
	s, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{`{}`, `{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "a"}}, "result": []}]}`,
		`{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "a"}}, "results": [{"message": {"text": "a"}, "level": "fatal"}]}]}`} {
		if found, err := s.Validate(gojsonschema.NewStringLoader(text)); err != nil || found.Valid() {
			t.Errorf("it takes %s: %v", text, err)
		}
	}
}

func TestSARIFOfFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a b#1.yaml"), []byte(shop), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, r := range sarif(t, "", "-f", dir) {
		if uri := r.Locations[0].PhysicalLocation.ArtifactLocation.URI; !strings.HasPrefix(uri, "file:///") || !strings.HasSuffix(uri, "/a%20b%231.yaml") {
			t.Errorf("the file is %s", uri)
		}
	}
	if results := sarif(t, "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n", "-f", "-"); len(results) > 0 {
		t.Errorf("a Service has %d results", len(results))
	}
}
