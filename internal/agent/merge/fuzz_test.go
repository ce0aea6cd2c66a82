package merge

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"twelvefold.dev/internal/metricsmerge"
)

// FuzzMerge merges two answers in any formats for a scraper of any style. What comes out can be read, holds exactly the
// samples of the answers with the label added, and is the same when it is merged once more.
func FuzzMerge(f *testing.F) {
	inputs, err := filepath.Glob("testdata/golden/*/*")
	if err != nil {
		f.Fatal(err)
	}
	var bodies []string
	for _, file := range inputs {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		bodies = append(bodies, string(body))
	}
	for i, a := range bodies {
		for mode := range byte(32) {
			f.Add(a, bodies[(i+1)%len(bodies)], mode)
		}
	}
	for _, hard := range []string{
		"# TYPE foo histogram\n# TYPE foo_count gauge\nfoo_count 1\nfoo_bucket{le=\"x\"} 1\n",
		"# TYPE foo summary\nfoo{quantile=\"0.5\"} 1\nfoo 2\nfoo_sum 3\nfoo_count -1\n",
		"# TYPE foo counter\nfoo_total 1\nfoo 2\nfoo_created 3\n# EOF\n",
		"_total 1\n# TYPE _total counter\n_total 2\n", "{\"\\\\\\\"\"} 1\n", "{a=\"b\",\"c\"} Inf -5\n", "a{b=\"\\\\\",} +Inf\n", "a 1e400\n", "a{b=\"1\",b=\"2\"} 1\n",
	} {
		for mode := range byte(32) {
			f.Add(hard, hard, mode)
		}
	}
	escapings := []model.EscapingScheme{model.NoEscaping, model.UnderscoreEscaping, model.DotsEscaping, model.ValueEncodingEscaping}
	f.Fuzz(func(t *testing.T, a, b string, mode byte) {
		out := style{format(mode & 1), escapings[mode>>1&3]}
		inputs := []input{{"api", a, format(mode >> 3 & 1)}, {"wor\"\\ker", b, format(mode >> 4 & 1)}}
		got, _, err := mergeAll(t, out, newStore(), inputs...)
		if err != nil {
			for _, in := range inputs {
				mustAccept(t, in)
			}
			return
		}
		if out.format == text {
			parse(t, got)
		} else {
			checkOpenMetrics(t, got)
		}
		var want []string
		for _, in := range inputs {
			want = append(want, samplesOf(t, in.body, in.format, out, in.source)...)
		}
		slices.Sort(want)
		have := samplesOf(t, got, out.format, out, "")
		slices.Sort(have)
		if d := cmp.Diff(want, have); d != "" {
			t.Errorf("other samples (-want +got):\n%s\n%s", d, got)
		}
		again, _, err := mergeAll(t, out, newStore(), input{"", got, out.format})
		if err != nil || again != got {
			t.Errorf("merged once more: %v\n%s", err, cmp.Diff(got, again))
		}
	})
}

// mustAccept fails if Prometheus' library takes a text for valid and read doesn't. Prometheus itself refuses more: zeros in
// names and timestamps before 1970.
func mustAccept(t *testing.T, in input) {
	if in.format != text || strings.Contains(in.body, "\x00") || oddQuotes(in.body) {
		return
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if _, err := parser.TextToMetricFamilies(strings.NewReader(in.body)); err != nil {
		return
	}
	e, err := read(strings.NewReader(in.body), text, style{text, model.NoEscaping}, "x", newStore())
	defer e.release()
	if err != nil && !strings.Contains(err.Error(), "timestamp") {
		t.Errorf("refuses what is valid: %v\n%q", err, in.body)
	}
}

// samplesOf lists the samples of a body by a second way: as the library reads them when no line tells a type, which keeps
// all labels and values as they are. OpenMetrics is brought into the text format by cutting lines.
func samplesOf(t *testing.T, body string, in format, out style, source string) (list []string) {
	t.Helper()
	for line := range strings.Lines(body) {
		trimmed := strings.Trim(line, " \t\n")
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		var s sample
		if err := s.cut([]byte(strings.TrimSuffix(line, "\n")), in); err != nil {
			t.Fatal(err)
		}
		stamp := ""
		if len(s.time) > 0 {
			ms, _ := milliseconds(s.time, in)
			stamp = fmt.Sprint(ms)
		}
		if exemplar := exemplarAt([]byte(trimmed)); in == openMetrics && exemplar < len(trimmed) {
			trimmed = strings.TrimRight(trimmed[:exemplar], " \t")
		}
		if len(s.time) > 0 {
			trimmed = strings.TrimSuffix(trimmed, string(s.time))
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(strings.TrimRight(trimmed, " \t") + "\n"))
		if err != nil { // a lenient reading of ours, or a line that the library begins in the middle
			list = append(list, key(escapedName(string(s.name), out), ownLabels(&s), s.number, stamp, out, source))
			continue
		}
		for name, family := range families {
			for _, m := range family.Metric {
				list = append(list, key(escapedName(name, out), libraryLabels(m), m.GetUntyped().GetValue(), stamp, out, source))
			}
		}
	}
	return list
}

func ownLabels(s *sample) map[string]string {
	labels := map[string]string{}
	for _, l := range s.labels {
		labels[string(l.name)] = string(unescape(l.value))
	}
	return labels
}

func libraryLabels(m *dto.Metric) map[string]string {
	labels := map[string]string{}
	for _, l := range m.Label {
		labels[l.GetName()] = l.GetValue()
	}
	return labels
}

// escapedName forgets how suffixes are escaped: by the type of the family, or with the rest of the name.
func escapedName(name string, out style) string {
	if out.escaping != model.NoEscaping {
		return ""
	}
	return name
}

func key(name string, labels map[string]string, value float64, stamp string, out style, source string) string {
	served := map[string]string{}
	for name, value := range labels {
		served[out.escape(name, false)] = value
	}
	if v, ok := served[metricsmerge.SourceLabel]; ok && source != "" {
		free := "exported_" + metricsmerge.SourceLabel
		for hasKey(served, free) {
			free = "exported_" + free
		}
		served[free] = v
	}
	if source != "" {
		served[metricsmerge.SourceLabel] = source
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(served)) {
		fmt.Fprintf(&b, "%q=%q ", name, served[name])
	}
	return fmt.Sprintf("%q %s%x %s", name, &b, math.Float64bits(value), stamp)
}

func hasKey(m map[string]string, key string) bool { _, ok := m[key]; return ok }

// oddQuotes: the library reads a"b" as the name ab, wherever a name may stand.
func oddQuotes(body string) bool {
	for i := 1; i < len(body); i++ {
		if body[i] == '"' && (isNameByte(body[i-1], true, true) || body[i-1] == '"' || body[i-1] == '\\') {
			return true
		}
	}
	return false
}
