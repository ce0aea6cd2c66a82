package metricsmerge_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/metricsmerge"
)

func TestParsePlan(t *testing.T) {
	want := metricsmerge.Plan{Port: 9464, Targets: []metricsmerge.Target{
		{Source: "api", Port: 8081, Path: "/actuator/prometheus", Scheme: "http"},
		{Source: "proxy", Port: 9113, Path: "/metrics?all=1", Scheme: "https"},
		{Source: "api-9090", Port: 9090, Path: "/"},
	}}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := metricsmerge.ParsePlan(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for i, url := range []string{"http://127.0.0.1:8081/actuator/prometheus", "https://127.0.0.1:9113/metrics?all=1", "http://127.0.0.1:9090/"} {
		if got := got.Targets[i].URL(); got != url {
			t.Errorf("URL %s, want %s", got, url)
		}
	}
}

func TestParsePlanRefuses(t *testing.T) {
	target := func(fields string) string {
		return fmt.Sprintf(`{"port":9464,"targets":[{"source":"a","port":1,"path":"/"},%s]}`, fields)
	}
	for _, c := range []struct{ text, want string }{
		{``, "TWELVEFOLD_MERGE: EOF"},
		{`{}`, "port: 0 is no port; use 1 to 65535"},
		{`{"port":9464}`, "targets: 0 of them"},
		{`{"port":9464,"targets":[],"more":1}`, `unknown field "more"`},
		{`{"port":9464,"targets":[{"source":"a","port":1,"path":"/"}]} {}`, "text after"},
		{`{"port":9464,"targets":[` + strings.Repeat(`{},`, metricsmerge.MaxTargets) + `{}]}`, "targets: 33 of them"},
		{target(`{"source":"b","port":2,"path":"/","host":"x"}`), `unknown field "host"`},
		{target(`{"port":2,"path":"/"}`), "targets[1].source: empty"},
		{target(`{"source":"b\n","port":2,"path":"/"}`), `targets[1].source: "b\n" is no name`},
		{target(`{"source":"b","port":0,"path":"/"}`), "targets[1].port: 0 is no port"},
		{target(`{"source":"b","port":65536,"path":"/"}`), "targets[1].port: 65536 is no port"},
		{target(`{"source":"b","port":9464,"path":"/"}`), "targets[1].port: 9464 is the port that merge serves on"},
		{target(`{"source":"b","port":2}`), `targets[1].path: "" is not`},
		{target(`{"source":"b","port":2,"path":"metrics"}`), `targets[1].path: "metrics" is not`},
		{target(`{"source":"b","port":2,"path":"//evil.example/"}`), `targets[1].path: "//evil.example/" is not`},
		{target(`{"source":"b","port":2,"path":"/%zz"}`), `targets[1].path: "/%zz" is not`},
		{target(`{"source":"b","port":2,"path":"/a b#c"}`), "targets[1].path: "},
		{target(`{"source":"b","port":2,"path":"/","scheme":"ftp"}`), `targets[1].scheme: "ftp" is neither`},
		{target(`{"source":"a","port":2,"path":"/"}`), `targets[1].source: "a" is that of targets[0], too`},
		{target(`{"source":"b","port":1,"path":"/","scheme":"http"}`), `targets[1]: port 1 and path "/" are those of targets[0]`},
	} {
		_, err := metricsmerge.ParsePlan(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", c.text, err, c.want)
		}
	}
}

// FuzzParsePlan: an accepted plan asks nothing but 127.0.0.1 and is the same after another round.
func FuzzParsePlan(f *testing.F) {
	f.Add(`{"port":9464,"targets":[{"source":"a","port":8081,"path":"/metrics?x=1","scheme":"https"}]}`)
	f.Add(`{"port":9464,"targets":[{"source":"a","port":8081,"path":"/@evil.example/%2f"}]}`)
	f.Add(`{"port":9464,"targets":[{"source":"\u00e4","port":8081,"path":"/\\\\x"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := metricsmerge.ParsePlan(text)
		if err != nil {
			return
		}
		for _, target := range p.Targets {
			if u, err := url.Parse(target.URL()); err != nil || u.Hostname() != "127.0.0.1" {
				t.Errorf("%s: would ask %v, %v", text, u, err)
			}
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		q, err := metricsmerge.ParsePlan(string(again))
		if d := cmp.Diff(p, q); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", text, err, d)
		}
	})
}
