package logs_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/logs"
)

func TestParseLinks(t *testing.T) {
	got, err := logs.ParseLinks(`{"links":[{"container":"app","path":"/l/a.log","at":"/links/0/a.log","to":"/dev/stdout"}]}`)
	want := logs.LinkPlan{Links: []logs.Link{{File: logs.File{Container: "app", Path: "/l/a.log", Mount: "/links/0/a.log"}, To: "/dev/stdout"}}}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
}

func TestParseLinksRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{``, "TWELVEFOLD_LINKS: EOF"},
		{`{}`, "links: empty"},
		{`{"links":[{"container":"a","path":"/a","at":"/a","to":"/dev/stdout"}]} {}`, "text after"},
		{`{"links":[{"container":"a","path":"/a","at":"/a","mode":1}]}`, `unknown field "mode"`},
		{`{"links":[{"path":"/a","at":"/a","to":"/dev/stdout"}]}`, "links[0].container: empty"},
		{`{"links":[{"container":"a","path":"/a","at":"a","to":"/dev/stdout"}]}`, `links[0].at: "a" is not an absolute`},
		{`{"links":[{"container":"a","path":"/a/*","at":"/a/*","to":"/dev/stdout"}]}`, "not a glob"},
		{`{"links":[{"container":"a","path":"/a","at":"/a","to":"/etc/shadow"}]}`, "neither /dev/stdout nor /dev/stderr"},
		{`{"links":[{"container":"a","path":"/a","at":"/a"}]}`, `to: ""`},
	} {
		if _, err := logs.ParseLinks(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", c.text, err, c.want)
		}
	}
}

func TestMended(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	pod := &corev1.Pod{Spec: corev1.PodSpec{InitContainers: []corev1.Container{
		{Name: logs.LinkContainer, Env: []corev1.EnvVar{{Name: logs.LinksEnv, Value: `{"links":[{"container":"a","path":"/a.log","at":"/l/a.log","to":"/dev/stderr"}]}`}}},
		{Name: "other", Env: []corev1.EnvVar{{Name: logs.LinksEnv, Value: `{"links":[{"container":"a","path":"/x.log","at":"/l/x.log","to":"/dev/stderr"}]}`}}},
		{Name: logs.TailContainer, RestartPolicy: &always, Env: []corev1.EnvVar{{Name: logs.PlanEnv, Value: `{"files":[{"container":"a","path":"/b.log","at":"/l/b.log"}]}`}}},
	}}}
	if diff := cmp.Diff(map[string][]string{"a": {"/b.log", "/a.log"}}, logs.Mended(pod)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	pod.Spec.InitContainers[0].Env = nil
	if got := logs.Linked(pod); len(got) > 0 {
		t.Errorf("a broken plan links %v", got)
	}
}

// FuzzParseLinks: an accepted plan links to outputs only, and is the same after another round.
func FuzzParseLinks(f *testing.F) {
	f.Add(`{"links":[{"container":"app","path":"/l/a.log","at":"/links/0/a.log","to":"/dev/stdout"}]}`)
	f.Add(`{"links":[{"container":"app","path":"/l/\u0000","at":"/links/..","to":"/dev/stderr"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := logs.ParseLinks(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		q, err := logs.ParseLinks(string(again))
		if d := cmp.Diff(p, q); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", text, err, d)
		}
		for _, l := range p.Links {
			if l.To != logs.Stdout && l.To != logs.Stderr {
				t.Errorf("a link to %q", l.To)
			}
		}
	})
}
