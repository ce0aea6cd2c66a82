//go:build unix

package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"twelvefold.dev/internal/agent"
	"twelvefold.dev/internal/logs"
	"twelvefold.dev/test/freeport"
)

// startTail runs the command until stop.
func startTail(t *testing.T, plan logs.Plan, stderr io.Writer) (stop func() int) {
	t.Helper()
	text, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a := &agent.Agent{Stdout: io.Discard, Stderr: stderr, Env: func(name string) string {
		if name == logs.PlanEnv {
			return string(text)
		}
		return ""
	}}
	code := make(chan int, 1)
	go func() { code <- a.Run(ctx, []string{"tail", "--state-dir", t.TempDir()}) }()
	return func() int {
		cancel()
		return <-code
	}
}

func TestTailServesMetrics(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "app.log")
	if err := os.WriteFile(name, []byte("one\ntwo\nthree\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	plan := logs.Plan{MetricsPort: freeport.Find(t), Files: []logs.File{
		{Container: "app", Path: `/var/log/"app".log`, Mount: name},
		{Container: "side", Path: "/logs/*.txt", Mount: dir + "/*.txt"},
	}}
	stop := startTail(t, plan, io.Discard)
	var text string
	has := func(line string) bool { return strings.Contains("\n"+text, "\n"+line+"\n") }
	app, side := `{file="/var/log/\"app\".log",log_container="app"} `, `{file="/logs/*.txt",log_container="side"} `
	for deadline := time.Now().Add(time.Minute); !has("twelvefold_tail_lines_total"+app+"3") || !has("twelvefold_tail_lag_bytes"+app+"0"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time; metrics: %s", text)
		}
		answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", plan.MetricsPort))
		if err != nil {
			continue // it doesn't listen yet
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatal(answer.Status, err)
		}
		text = string(body)
	}
	for _, line := range []string{
		"bytes_total" + app + "14", "truncations_total" + app + "0", "lines_total" + side + "0", "bytes_total" + side + "0",
		"truncations_total" + side + "0", "lag_bytes" + side + "0", "deleted_files_total 0", "open_files 1",
	} {
		if !has("twelvefold_tail_" + line) {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
	if problems, err := promlint.New(strings.NewReader(text)).Lint(); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	if code := stop(); code != agent.ExitOK {
		t.Errorf("exit %d", code)
	}
}

func TestTailGoesOnWithoutMetricsWhereThePortIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	var mu sync.Mutex
	var stderr strings.Builder
	plan := logs.Plan{MetricsPort: l.Addr().(*net.TCPAddr).Port, Files: []logs.File{{Container: "app", Path: "/l/a.log", Mount: dir + "/a.log"}}}
	stop := startTail(t, plan, writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return stderr.Write(p)
	}))
	if code := stop(); code != agent.ExitOK || !strings.Contains(stderr.String(), "metricsPort") {
		t.Errorf("exit %d, stderr %s", code, stderr.String())
	}
}
