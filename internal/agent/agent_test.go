package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"twelvefold.dev/internal/agent"
	"twelvefold.dev/internal/logs"
)

func splitLines(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") }

func TestPanicShowsNoValue(t *testing.T) {
	var log bytes.Buffer
	a := &agent.Agent{Env: func(string) string { panic(marker) }, Stdout: &log, Stderr: &log}
	if code := a.Run(t.Context(), []string{"fetch"}); code != agent.ExitInternal {
		t.Errorf("exit code %d, want %d", code, agent.ExitInternal)
	}
	if text := log.String(); strings.Contains(text, marker) || !strings.Contains(text, "internal error") {
		t.Errorf("log:\n%s", text)
	}
}

func TestHelp(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want []string
	}{
		{[]string{"--help"}, []string{"fetch", "tail"}},
		{[]string{"fetch", "--help"}, []string{"--env-file", "--files-dir", "--deadline", "TWELVEFOLD_PLAN", "HTTPS_PROXY", "Exit codes"}},
		{[]string{"tail", "--help"}, []string{"TWELVEFOLD_LOGS", "--state-dir"}},
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

func TestBadUsage(t *testing.T) {
	for _, args := range [][]string{{"fletch"}, {"fetch", "extra"}, {"fetch", "--deadline", "soon"}, {"tail"}} {
		var out, log bytes.Buffer
		a := &agent.Agent{Env: func(string) string { return "" }, Stdout: &out, Stderr: &log}
		if code := a.Run(t.Context(), args); code != agent.ExitConfiguration || !strings.Contains(log.String(), `"error"`) {
			t.Errorf("%v: exit code %d, log %s", args, code, log.String())
		}
	}
}
