package logs_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/logs"
)

func TestParsePlan(t *testing.T) {
	want := logs.Plan{Files: []logs.File{
		{Container: "app", Path: "/var/log/app/app.log", Mount: "/logs/0/app.log"},
		{Container: "app", Path: "/var/log/app/*.log", Mount: "/logs/0/*.log", MaxDisk: 64 << 20},
	}, MetricsPort: 9464}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := logs.ParsePlan(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestParsePlanRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{``, "TWELVEFOLD_LOGS: EOF"},
		{`{}`, "files: empty"},
		{`{"files":[],"more":1}`, `unknown field "more"`},
		{`{"files":[{"container":"a","path":"/a","at":"/a","mode":1}]}`, `unknown field "mode"`},
		{`{"files":[{"container":"a","path":"/a","at":"/a"}]} {}`, "text after"},
		{`{"files":[{"path":"/a","at":"/a"}]}`, "files[0].container: empty"},
		{`{"files":[{"container":"a","path":"a.log","at":"/a.log"}]}`, `files[0].path: "a.log" is not an absolute`},
		{`{"files":[{"container":"a","path":"/a.log","at":"/l/../a.log"}]}`, `files[0].at: "/l/../a.log" is not an absolute`},
		{`{"files":[{"container":"a","path":"/","at":"/a.log"}]}`, `files[0].path: "/" is not`},
		{`{"files":[{"container":"a","path":"/a/","at":"/a.log"}]}`, `files[0].path: "/a/" is not`},
		{`{"files":[{"container":"a","path":"/l/*/a.log","at":"/a.log"}]}`, "glob in a directory"},
		{`{"files":[{"container":"a","path":"/l/[a","at":"/[a"}]}`, "syntax error in pattern"},
		{`{"files":[{"container":"a","path":"/l/*.log","at":"/a.log"}]}`, "must both be globs"},
		{`{"files":[{"container":"a","path":"/a","at":"/a","maxDisk":-1}]}`, "files[0].maxDisk: -1 is negative"},
		{`{"files":[{"container":"a","path":"/a","at":"/a"}],"metricsPort":65536}`, "metricsPort: 65536 is not a port"},
	} {
		_, err := logs.ParsePlan(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", c.text, err, c.want)
		}
	}
}

func TestEnvelopeTellsSeveralFilesApart(t *testing.T) {
	one, glob := logs.File{Mount: "/logs/0/app.log"}, logs.File{Mount: "/logs/0/*.log"}
	for _, c := range []struct {
		files []logs.File
		want  bool
	}{{nil, false}, {[]logs.File{one}, false}, {[]logs.File{glob}, true}, {[]logs.File{one, one}, true}} {
		if got := (logs.Plan{Files: c.files}).Envelope(); got != c.want {
			t.Errorf("%v: %v", c.files, got)
		}
	}
}

// FuzzParsePlan: an accepted plan is complete and is the same after another round.
func FuzzParsePlan(f *testing.F) {
	f.Add(`{"files":[{"container":"a","path":"/var/log/a.log","at":"/logs/0/a.log"}]}`)
	f.Add(`{"files":[{"container":"a","path":"/l/[a-c]?.log","at":"/logs/0/*"}]}`)
	f.Add(`{"files":[{"container":"a","path":"/\u0000","at":"/."}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := logs.ParsePlan(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		q, err := logs.ParsePlan(string(again))
		if d := cmp.Diff(p, q); err != nil || d != "" || len(p.Files) == 0 {
			t.Errorf("%s: %v\n%s", text, err, d)
		}
	})
}
