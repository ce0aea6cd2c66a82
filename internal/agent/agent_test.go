package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"twelvefold.dev/internal/agent"
	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/logs"
)

func splitLines(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") }

func TestPanicShowsNoValue(t *testing.T) {
	for _, command := range []string{"fetch", "sync", "tail", "merge"} {
		var log bytes.Buffer
		a := &agent.Agent{Env: func(string) string { panic(marker) }, Stdout: &log, Stderr: &log}
		if code := a.Run(t.Context(), []string{command}); code != agent.ExitInternal {
			t.Errorf("%s: exit code %d, want %d", command, code, agent.ExitInternal)
		}
		if text := log.String(); strings.Contains(text, marker) || !strings.Contains(text, "internal error") {
			t.Errorf("%s: log:\n%s", command, text)
		}
	}
}

// The same in the goroutines that ask Azure: there a panic would end the process with all of its message.
func TestPanicOfAWorkerShowsNoValue(t *testing.T) {
	p := newPairPod(t)
	s := p.sync(t, pairPlan(), "files")
	expires := time.Now().Add(time.Hour)
	p.secret(t, shop, emulator.Secret{Name: "crt", Value: marker, Expires: &expires})
	s.mu.Lock()
	s.fail = true // asked for the time when the date is judged
	s.mu.Unlock()
	s.turn(t)
	s.turn(t)
	s.wantFiles(t, pairFiles(marker+"-crt", marker+"-key"))
	s.wantLog(t, "internal error", 1)

	var log bytes.Buffer
	a := &agent.Agent{Env: func(name string) string { return p.env[name] }, Stdout: &log, Stderr: &log, Now: func() time.Time { panic(marker) }}
	code := a.Run(t.Context(), append([]string{"fetch", "--termination-log", p.path("termination")}, p.args...))
	if text := log.String(); code != agent.ExitConfiguration || strings.Contains(text, marker) || !strings.Contains(text, "internal error") {
		t.Errorf("exit code %d, log:\n%s", code, text)
	}
}

func TestHelp(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want []string
	}{
		{[]string{"--help"}, []string{"fetch", "sync", "exec", "tail", "link", "merge"}},
		{[]string{"link", "--help"}, []string{"TWELVEFOLD_LINKS", "Exit codes"}},
		{[]string{"fetch", "--help"}, []string{"--env-file", "--files-dir", "--volumes-dir", "--bin-dir", "--state-dir", "--deadline", "TWELVEFOLD_PLAN", "TWELVEFOLD_ROTATION", "TWELVEFOLD_IDENTITY", "TWELVEFOLD_CREDENTIAL_DIR", "HTTPS_PROXY", "Exit codes", "  15  "}},
		{[]string{"sync", "--help"}, []string{"--restart-limit", "--state-dir", "TWELVEFOLD_INTERVAL", "files", "restart", "Exit codes", "  77  "}},
		{[]string{"exec", "--help"}, []string{"exec [flags] -- COMMAND", "@Twelvefold(KEY)", "--values", "/twelvefold/env/exec.json", "Exit codes", " 126  ", " 127  "}},
		{[]string{"tail", "--help"}, []string{"TWELVEFOLD_LOGS", "--state-dir"}},
		{[]string{"merge", "--help"}, []string{"TWELVEFOLD_MERGE", "twelvefold_source", "twelvefold_merge_target_up", "GOMEMLIMIT", "Exit codes", "  10  "}},
	} {
		var out, log bytes.Buffer
		a := &agent.Agent{Env: func(string) string { return "" }, Stdout: &out, Stderr: &log}
		if code := a.Run(t.Context(), tc.args); code != agent.ExitOK || log.Len() > 0 {
			t.Errorf("%v: exit code %d, log %s", tc.args, code, log.String())
		}
		for _, want := range tc.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%v does not say %q:\n%s", tc.args, want, out.String())
			}
		}
	}
}

func TestTailStreamsUntilItIsStopped(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.log")
	if err := os.WriteFile(file, []byte("first\nsecond\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	plan, err := json.Marshal(logs.Plan{Files: []logs.File{{Container: "app", Path: "/var/log/app.log", Mount: file}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the application has ended: the file is drained
	var out, log bytes.Buffer
	a := &agent.Agent{Env: func(name string) string { return map[string]string{logs.PlanEnv: string(plan)}[name] }, Stdout: &out, Stderr: &log}
	if code := a.Run(ctx, []string{"tail", "--state-dir", t.TempDir()}); code != agent.ExitOK || out.String() != "first\nsecond\n" {
		t.Errorf("exit code %d, stdout %q, log %s", code, out.String(), log.String())
	}
}

func TestLink(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	plan, err := json.Marshal(logs.LinkPlan{Links: []logs.Link{{File: logs.File{Container: "nginx", Path: "/var/log/nginx/access.log", Mount: file}, To: logs.Stdout}}})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	a := &agent.Agent{Env: func(name string) string { return map[string]string{logs.LinksEnv: string(plan)}[name] }, Stdout: &log, Stderr: &log}
	if code := a.Run(t.Context(), []string{"link"}); code != agent.ExitOK {
		t.Errorf("exit code %d, log %s", code, log.String())
	}
	if to, err := os.Readlink(file); err != nil || to != logs.Stdout {
		t.Errorf("%q, %v", to, err)
	}
}

func TestBadUsage(t *testing.T) {
	for _, args := range [][]string{{"fletch"}, {"fetch", "extra"}, {"fetch", "--deadline", "soon"}, {"tail"}, {"link"}, {"link", "extra"}, {"merge"}, {"merge", "extra"}, {"sync"}, {"sync", "extra"}, {"exec"}} {
		var out, log bytes.Buffer
		a := &agent.Agent{Env: func(string) string { return "" }, Stdout: &out, Stderr: &log}
		if code := a.Run(t.Context(), args); code != agent.ExitConfiguration || !strings.Contains(log.String(), `"error"`) {
			t.Errorf("%v: exit code %d, log %s", args, code, log.String())
		}
	}
}
