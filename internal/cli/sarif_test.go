package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/cli"
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

// properties are the part of the SARIF 2.1.0 schema that concerns what we write: of each object the properties, required
// ones first before the bar, with their types.
var properties = map[string]struct{ required, optional map[string]string }{
	"sarifLog":         {map[string]string{"version": "2.1.0", "runs": "[]run"}, map[string]string{"$schema": "uri"}},
	"run":              {map[string]string{"tool": "tool"}, map[string]string{"results": "[]result", "columnKind": "utf16CodeUnits|unicodeCodePoints"}},
	"tool":             {map[string]string{"driver": "toolComponent"}, nil},
	"toolComponent":    {map[string]string{"name": "string"}, map[string]string{"rules": "[]descriptor"}},
	"descriptor":       {map[string]string{"id": "string"}, map[string]string{"shortDescription": "multiformat", "fullDescription": "multiformat", "help": "multiformat", "defaultConfiguration": "configuration", "properties": "bag"}},
	"multiformat":      {map[string]string{"text": "string"}, map[string]string{"markdown": "string"}},
	"configuration":    {nil, map[string]string{"level": "none|note|warning|error"}},
	"result":           {map[string]string{"message": "message"}, map[string]string{"ruleId": "string", "ruleIndex": "index", "level": "none|note|warning|error", "locations": "[]location", "partialFingerprints": "strings"}},
	"message":          {map[string]string{"text": "string"}, map[string]string{"markdown": "string"}},
	"location":         {nil, map[string]string{"physicalLocation": "physicalLocation", "logicalLocations": "[]logicalLocation"}},
	"physicalLocation": {map[string]string{"artifactLocation": "artifactLocation"}, map[string]string{"region": "region"}},
	"artifactLocation": {nil, map[string]string{"uri": "uri"}},
	"region":           {nil, map[string]string{"startLine": "line"}},
	"logicalLocation":  {nil, map[string]string{"name": "string", "fullyQualifiedName": "string", "kind": "string"}},
}

func validate(t *testing.T, where, kind string, value any) {
	t.Helper()
	if item, ok := strings.CutPrefix(kind, "[]"); ok {
		list, ok := value.([]any)
		if !ok {
			t.Errorf("%s is no list: %v", where, value)
		}
		for i, v := range list {
			validate(t, fmt.Sprintf("%s[%d]", where, i), item, v)
		}
		return
	}
	text, isText := value.(string)
	number, isNumber := value.(float64)
	fields, isObject := value.(map[string]any)
	ok := false
	switch kind {
	case "string":
		ok = isText && text != ""
	case "uri":
		u, err := url.Parse(text)
		ok = isText && err == nil && u.String() == text && !strings.ContainsAny(text, " \\")
	case "line":
		ok = isNumber && number >= 1
	case "index":
		ok = isNumber && number >= 0
	case "bag":
		ok = isObject
	case "strings":
		ok = isObject
		for _, v := range fields {
			_, is := v.(string)
			ok = ok && is
		}
	default:
		object, known := properties[kind]
		if !known {
			ok = slices.Contains(strings.Split(kind, "|"), text)
			break
		}
		ok = isObject
		for name, v := range fields {
			sort := object.required[name] + object.optional[name]
			if sort == "" {
				t.Errorf("%s has the unknown property %s", where, name)
				continue
			}
			validate(t, where+"."+name, sort, v)
		}
		for name := range object.required {
			if _, has := fields[name]; !has {
				t.Errorf("%s lacks %s", where, name)
			}
		}
	}
	if !ok {
		t.Errorf("%s is no %s: %v", where, kind, value)
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
	var tree any
	var log struct {
		Runs []struct {
			Tool struct {
				Driver struct {
					Rules []struct {
						ID   string
						Help struct{ Text, Markdown string }
					}
				}
			}
			Results []result
		}
	}
	if err := json.Unmarshal(out.Bytes(), &tree); err != nil {
		t.Fatal(err)
	}
	validate(t, "log", "sarifLog", tree)
	if err := json.Unmarshal(out.Bytes(), &log); err != nil || len(log.Runs) != 1 {
		t.Fatalf("%d runs, %v", len(log.Runs), err)
	}
	rules := log.Runs[0].Tool.Driver.Rules
	seen, prints := map[string]bool{}, map[string]bool{}
	for _, r := range rules {
		if seen[r.ID] || !strings.Contains(r.Help.Text, r.ID) || !strings.HasPrefix(r.Help.Markdown, "# ") {
			t.Errorf("rule %s is there twice, or has no help", r.ID)
		}
		seen[r.ID] = true
	}
	for _, r := range log.Runs[0].Results {
		if r.RuleIndex >= len(rules) || rules[r.RuleIndex].ID != r.RuleID {
			t.Errorf("result of %s has another rule's index", r.RuleID)
		}
		print := r.PartialFingerprints["twelvefold/v1"]
		if print == "" || prints[print] {
			t.Errorf("%s: its fingerprint is empty or another's, too", r)
		}
		prints[print] = true
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
