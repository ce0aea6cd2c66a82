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
		{"java, with what was logged", "12:00 ERROR x\njava.lang.IllegalStateException: y\n\tat a\nz\n", settled,
			[]string{"12:00 ERROR x\njava.lang.IllegalStateException: y\n\tat a\n", "z\n"}, ""},
		{"exceptions alone", "a.BException: 1\na.BException: 2\n", settled, []string{"a.BException: 1\n", "a.BException: 2\n"}, ""},
		{"no exception", "12:00 x\nError: y\nfoo.bar: z\n", settled, []string{"12:00 x\n", "Error: y\n", "foo.bar: z\n"}, ""},
		{"python", "ERROR x\nTraceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    f()\nKeyError: 'y'\nINFO: z\n", settled,
			[]string{"ERROR x\nTraceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    f()\nKeyError: 'y'\n", "INFO: z\n"}, ""},
		{"python, one after the other", "Traceback (most recent call last):\n  a\nA: 1\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  b\nKeyboardInterrupt\nz\n", settled,
			[]string{"Traceback (most recent call last):\n  a\nA: 1\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  b\nKeyboardInterrupt\n", "z\n"}, ""},
		{"go", "panic: x\n[signal SIGSEGV: segmentation violation]\n\ngoroutine 1 [running]:\nmain.(*T).f(0x1, {0x2, 0x3})\n\t/a.go:1 +0x1d\nmain.main()\n\t/a.go:2\n\ngoroutine 7 [select]:\na/b.c(...)\n\t/b.go:3\ncreated by a/b.d in goroutine 1\n\t/b.go:4\nexit status 2\n", settled,
			[]string{"panic: x\n[signal SIGSEGV: segmentation violation]\n\ngoroutine 1 [running]:\nmain.(*T).f(0x1, {0x2, 0x3})\n\t/a.go:1 +0x1d\nmain.main()\n\t/a.go:2\n\ngoroutine 7 [select]:\na/b.c(...)\n\t/b.go:3\ncreated by a/b.d in goroutine 1\n\t/b.go:4\n", "exit status 2\n"}, ""},
		{"no goroutine's stack", "x\ngoroutine leak\n\ngood\n", settled, []string{"x\n", "goroutine leak\n", "\n", "good\n"}, ""},
		{".net", "12:00 [ERR] x\nSystem.InvalidOperationException: y\n ---> System.Exception: z\n   --- End of inner exception stack trace ---\n   at A.B() in /a.cs:line 5\n--- End of stack trace from previous location ---\n   at C.D()\n12:01 [INF] z\n", settled,
			[]string{"12:00 [ERR] x\nSystem.InvalidOperationException: y\n ---> System.Exception: z\n   --- End of inner exception stack trace ---\n   at A.B() in /a.cs:line 5\n--- End of stack trace from previous location ---\n   at C.D()\n", "12:01 [INF] z\n"}, ""},
		{"too little to tell an exception", "x\njava.lang.Ill", open, nil, "x\njava.lang.Ill"},
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
	for _, s := range []string{"", "\n", "a\nb\n", "x\n\tat a\nCaused by: y\nz", "x\nCau", "\x00\xff\n \n", "a\n...", "S\nSuppressed:",
		"E\njava.lang.Error: x\n\tat a\nb\n", "Traceback (most recent call last):\n  a\nA: 1\n\nDuring handling of the above exception\n\nT",
		"panic: x\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go\ncreated by b\n\nc(", "\n\ngoroutine x", "a\ngoroutine "} {
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
		for limit := 1; limit < len(data); limit++ {
			many, one := wholeRecords(data, limit), 0
			for _, r := range all[open] {
				if one < many {
					one += len(r)
				}
			}
			if many > limit || one != many {
				t.Fatalf("%q: %d bytes of at most %d are no whole records", data, many, limit)
			}
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
	f.Add([]byte("plain, then \" and 12345678901234567 \\ \x1f!#[]\x7f\x80"), 64)
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
