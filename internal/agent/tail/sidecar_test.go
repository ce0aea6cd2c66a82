package tail_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/agent/tail"
	"twelvefold.dev/internal/logs"
)

// sidecar is a Run in progress.
type sidecar struct {
	t      *testing.T
	dir    string
	stdout *output
	log    *output
	stats  tail.Stats
	cancel context.CancelFunc
	done   chan error
}

// output takes writes and remembers their borders.
type output struct {
	mu     sync.Mutex
	writes []string
	gate   chan struct{} // if set, every write waits for it
}

func (o *output) Write(p []byte) (int, error) {
	if o.gate != nil {
		<-o.gate
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writes = append(o.writes, string(p))
	return len(p), nil
}

func (o *output) all() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.writes)
}

func (o *output) String() string { return strings.Join(o.all(), "") }

// start runs the sidecar over the files of dir, which its application knows as /var/log/app.
func start(t *testing.T, dir string, stdout *output, opts tail.Options, names ...string) *sidecar {
	t.Helper()
	return startPlan(t, dir, stdout, opts, planOf(dir, names...))
}

func startPlan(t *testing.T, dir string, stdout *output, opts tail.Options, plan logs.Plan) *sidecar {
	t.Helper()
	s := &sidecar{t: t, dir: dir, stdout: stdout, log: &output{}, done: make(chan error, 1)}
	opts.Stats = &s.stats
	if opts.Poll == 0 {
		opts.Poll = 5 * time.Millisecond
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.cancel = cancel
	go func() {
		s.done <- tail.Run(ctx, plan, stdout, slog.New(slog.NewTextHandler(s.log, nil)), opts)
	}()
	return s
}

func planOf(dir string, names ...string) (p logs.Plan) {
	for _, n := range names {
		p.Files = append(p.Files, logs.File{Container: "app", Path: "/var/log/app/" + n, Mount: filepath.Join(dir, n)})
	}
	return p
}

// stop does what the kubelet does after the application has ended.
func (s *sidecar) stop() {
	s.t.Helper()
	s.cancel()
	select {
	case err := <-s.done:
		if err != nil {
			s.t.Fatal(err)
		}
	case <-time.After(time.Minute):
		s.t.Fatal("the sidecar doesn't end")
	}
}

func (s *sidecar) waitFor(text string) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%q on stdout", text), func() bool { return strings.Contains(s.stdout.String(), text) })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// logFile is what an application has open.
type logFile struct {
	t *testing.T
	*os.File
}

func create(t *testing.T, dir, name string) logFile {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return logFile{t, f}
}

func (f logFile) print(text string) {
	f.t.Helper()
	if _, err := f.WriteString(text); err != nil {
		f.t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("stdout (-want +got):\n%s", d)
	}
}
