package tail

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRecords(t *testing.T) {
	for _, c := range []struct {
		name, in string
		end      ending
		want     []string
		rest     string
	}{
		{"a line ends where the next begins", "a\nb\n", open, []string{"a\n"}, "b\n"},
		{"settled lines end by themselves", "a\nb\n", settled, []string{"a\n", "b\n"}, ""},
		{"a partial line waits", "a\nb", settled, []string{"a\n"}, "b"},
		{"nothing will follow", "a\nb", final, []string{"a\n", "b"}, ""},
		{"java", "x\n\tat a.b(C.java:1)\nCaused by: y\n\t... 3 more\nz\n", settled,
			[]string{"x\n\tat a.b(C.java:1)\nCaused by: y\n\t... 3 more\n", "z\n"}, ""},
		{"stripped indentation", "x\nat a\nSuppressed: b\n... 2 more\n", settled, []string{"x\nat a\nSuppressed: b\n... 2 more\n"}, ""},
		{"too little to tell a continuation", "x\nCau", open, nil, "x\nCau"},
		{"enough to tell", "x\nCat\n", open, []string{"x\n"}, "Cat\n"},
		{"partial continuation", "x\n\tat", settled, []string{"x\n"}, "\tat"},
		{"partial continuation at the end", "x\n\tat", final, []string{"x\n\tat"}, ""},
		{"empty lines are records", "\n\nx\n", settled, []string{"\n", "\n", "x\n"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, rest := splitAll([]byte(c.in), c.end)
			if d := cmp.Diff(c.want, got); d != "" || rest != c.rest {
				t.Errorf("rest %q, want %q; records (-want +got):\n%s", rest, c.rest, d)
			}
		})
	}
}

func splitAll(data []byte, end ending) (records []string, rest string) {
	for {
		n := recordLen(data, end)
		if n == 0 {
			return records, string(data)
		}
		records, data = append(records, string(data[:n])), data[n:]
	}
}

// FuzzRecords: records are the data, cut at newlines only, and knowing more of what follows never moves an earlier cut.
func FuzzRecords(f *testing.F) {
	for _, s := range []string{"", "\n", "a\nb\n", "x\n\tat a\nCaused by: y\nz", "x\nCau", "\x00\xff\n \n", "a\n...", "S\nSuppressed:"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var all [3][]string
		for end := open; end <= final; end++ {
			records, rest := splitAll(data, end)
			if got := strings.Join(records, "") + rest; got != string(data) {
				t.Fatalf("%d: %q became %q", end, data, got)
			}
			for i, r := range records {
				if !strings.HasSuffix(r, "\n") && (end != final || i != len(records)-1) {
					t.Fatalf("%d: record %q doesn't end a line", end, r)
				}
			}
			if end == final && rest != "" || end == settled && strings.Contains(rest, "\n") {
				t.Fatalf("%d: left %q", end, rest)
			}
			all[end] = records
		}
		for i, r := range all[open] {
			if all[settled][i] != r || all[final][i] != r {
				t.Fatalf("record %d: %q, then %q, then %q", i, r, all[settled][i], all[final][i])
			}
		}
	})
}

// FuzzEscape: however the text is cut into pieces, encoding/json reads it back, with U+FFFD for what isn't UTF-8.
func FuzzEscape(f *testing.F) {
	f.Add([]byte("a\"\\\n\r\t\x00\x1f/é€😀\u2028<&>"), 3)
	f.Add([]byte("\xff\xe2\x82"), 2)
	f.Add([]byte("\xf0\x9f\x98\x80\xf0\x9f"), 1)
	f.Fuzz(func(t *testing.T, text []byte, piece int) {
		piece = max(1, piece)
		out, rest := []byte(`"`), []byte(nil)
		for at := 0; at < len(text); {
			n := min(piece, len(text)-at)
			out, rest = appendEscaped(out, append(bytes.Clone(rest), text[at:at+n]...), false)
			at += n
		}
		out, _ = appendEscaped(out, rest, true)
		var got string
		if err := json.Unmarshal(append(out, '"'), &got); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if want := string([]rune(string(text))); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}
