package merge

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

var update = flag.Bool("update", false, "write the golden files anew")

// input is what a target of that name answers.
type input struct {
	source, body string
	format       format
}

// mergeAll is what a scraper of all the inputs gets, without what merge says of itself.
func mergeAll(t testing.TB, out style, s *store, inputs ...input) (string, int, error) {
	t.Helper()
	var all []*exposition
	for _, in := range inputs {
		e, err := read(strings.NewReader(in.body), in.format, out, in.source, s)
		defer e.release()
		if err != nil {
			return "", 0, err
		}
		all = append(all, e)
	}
	var b bytes.Buffer
	u := unite(out, all)
	if err := u.write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String(), u.conflicts(), nil
}

func newStore() *store { return &store{limits: defaultLimits} }

// TestGolden merges the files of a directory, named after their sources, in every style.
func TestGolden(t *testing.T) {
	styles := map[string]style{
		"out.text":      {text, model.UnderscoreEscaping},
		"out.om":        {openMetrics, model.UnderscoreEscaping},
		"out.text.utf8": {text, model.NoEscaping},
		"out.om.utf8":   {openMetrics, model.NoEscaping},
		"out.om.values": {openMetrics, model.ValueEncodingEscaping},
	}
	cases, err := filepath.Glob("testdata/golden/*")
	if err != nil || len(cases) < 4 {
		t.Fatal(cases, err)
	}
	for _, dir := range cases {
		inputs := readInputs(t, dir)
		for file, out := range styles {
			if out.escaping != model.UnderscoreEscaping && filepath.Base(dir) != "utf8" {
				continue
			}
			t.Run(filepath.Base(dir)+"/"+file, func(t *testing.T) {
				got, _, err := mergeAll(t, out, newStore(), inputs...)
				if err != nil {
					t.Fatal(err)
				}
				golden := filepath.Join(dir, file)
				if *update {
					if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(string(want), got); d != "" {
					t.Error(d)
				}
				if out.format == text {
					parse(t, got)
				} else {
					checkOpenMetrics(t, got)
				}
			})
		}
	}
}

func readInputs(t *testing.T, dir string) (inputs []input) {
	t.Helper()
	for _, source := range []string{"api", "worker"} {
		for extension, in := range map[string]format{".txt": text, ".om": openMetrics} {
			body, err := os.ReadFile(filepath.Join(dir, source+extension))
			if err == nil {
				inputs = append(inputs, input{source, string(body), in})
			}
		}
	}
	if len(inputs) != 2 {
		t.Fatalf("%s: %d inputs", dir, len(inputs))
	}
	return inputs
}

// parse reads the text format with Prometheus' own library.
func parse(t testing.TB, body string) {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if _, err := parser.TextToMetricFamilies(strings.NewReader(body)); err != nil {
		t.Errorf("the output is not valid: %v\n%s", err, body)
	}
}

// checkOpenMetrics checks what the format demands beyond lines that can be read: each family once and in one piece, its
// metadata first, names that its type allows, and one end.
func checkOpenMetrics(t testing.TB, body string) {
	t.Helper()
	rest, ok := strings.CutSuffix(body, "# EOF\n")
	if !ok || strings.Contains(rest, "# EOF\n") {
		t.Errorf("not one end:\n%s", body)
	}
	seen := map[string]bool{}
	var current string
	var k kind
	for line := range strings.Lines(rest) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "# ") {
			c := cursor{line: []byte(line), at: 2}
			keyword := string(c.token())
			c.blanks()
			name, err := c.name(true)
			if err != nil {
				t.Errorf("%s: %v", line, err)
			}
			if keyword == "TYPE" {
				k = kindOf(strings.TrimSpace(string(c.line[c.at:])), openMetrics)
			}
			if current != string(name) && seen[string(name)] {
				t.Errorf("family %s comes twice:\n%s", name, body)
			}
			current = string(name)
			seen[current] = true
			continue
		}
		var s sample
		if err := s.cut([]byte(line), openMetrics); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		suffix, ok := strings.CutPrefix(string(s.name), current)
		allowed := suffix == "" && k.exact(openMetrics)
		for _, s := range k.suffixes(openMetrics) {
			allowed = allowed || s == suffix
		}
		if !ok || !allowed {
			t.Errorf("%s: not a sample of %s %s", line, k.word(openMetrics), current)
		}
	}
}
