package tail_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"twelvefold.dev/internal/agent/tail"
)

// TestMain lets the test binary be the sidecar's process: one that can be killed.
func TestMain(m *testing.M) {
	dir := os.Getenv("TAIL_TEST_DIR")
	if dir == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	opts := tail.Options{StateDir: os.Getenv("TAIL_TEST_STATE"), Poll: 5 * time.Millisecond}
	if err := tail.Run(ctx, planOf(dir, "app.log"), os.Stdout, slog.New(slog.NewTextHandler(os.Stderr, nil)), opts); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A process is a sidecar in its own process.
func process(t *testing.T, dir, state string, stdout *output) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	c := exec.Command(self)
	c.Env = append(os.Environ(), "TAIL_TEST_DIR="+dir, "TAIL_TEST_STATE="+state)
	c.Stdout, c.Stderr = stdout, os.Stderr
	must(t, c.Start())
	t.Cleanup(func() { c.Process.Kill() })
	return c
}

func waitForCheckpoint(t *testing.T, state string) {
	t.Helper()
	eventually(t, "a checkpoint", func() bool { _, err := os.Stat(filepath.Join(state, "tail.json")); return err == nil })
}

// An application writes numbered lines until it is told to end, and disturbs the sidecar as often as it can.
type application struct {
	wg    sync.WaitGroup
	end   chan struct{}
	lines int
}

func runApplication(t *testing.T, dir string, disturb func(*logFile)) *application {
	a := &application{end: make(chan struct{})}
	f := create(t, dir, "app.log")
	random := rand.New(rand.NewPCG(1, 2))
	a.wg.Go(func() {
		for {
			select {
			case <-a.end:
				return
			default:
			}
			for range random.IntN(200) {
				line := fmt.Sprintf("%08d %s\n", a.lines, strings.Repeat("x", random.IntN(100)))
				cut := random.IntN(len(line)) // lines come in two pieces
				f.WriteString(line[:cut])
				f.WriteString(line[cut:])
				a.lines++
			}
			if random.IntN(4) == 0 {
				disturb(&f)
			}
		}
	})
	return a
}

func (a *application) stop() (lines int) {
	close(a.end)
	a.wg.Wait()
	return a.lines
}

// verify expects every line, at least once, whole; in order and just once if strict.
func verify(t *testing.T, stdout string, lines int, strict bool) {
	t.Helper()
	seen, count, last := make([]bool, lines), 0, -1
	for line := range strings.Lines(stdout) {
		var n int
		if _, err := fmt.Sscanf(line, "%08d ", &n); err != nil || n >= lines || strings.Trim(line[9:], "x") != "\n" {
			if strict {
				t.Fatalf("not a line: %q", line)
			}
			continue // a kill in the middle of a write
		}
		if strict && n != last+1 {
			t.Fatalf("line %d after line %d", n, last)
		}
		if last = n; !seen[n] {
			seen[n] = true
			count++
		}
	}
	if count != lines {
		t.Errorf("%d of %d lines", count, lines)
	}
	t.Logf("%d lines, %d bytes on stdout", lines, len(stdout))
}

func rename(t *testing.T, dir string, keep int) func(*logFile) {
	return func(f *logFile) {
		for n := keep; n > 0; n-- {
			os.Rename(fmt.Sprintf("%s/app.log.%d", dir, n), fmt.Sprintf("%s/app.log.%d", dir, n+1))
		}
		os.Rename(dir+"/app.log", dir+"/app.log.1")
		f.Close()
		opened, err := os.OpenFile(dir+"/app.log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			t.Error(err)
		}
		f.File = opened
	}
}

func TestEveryLineComesWhileFilesRotate(t *testing.T) {
	for name, c := range map[string]struct {
		rotations int
		strict    bool // where copies are made faster than they are looked at, lines may come twice
		make      func(t *testing.T, dir string) func(*logFile)
	}{
		"rename":       {make: func(t *testing.T, dir string) func(*logFile) { return rename(t, dir, 100) }, rotations: 60, strict: true},
		"copytruncate": {make: func(t *testing.T, dir string) func(*logFile) { return func(f *logFile) { copyTruncate(t, *f) } }, rotations: 9},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			state := t.TempDir()
			s := start(t, dir, &output{}, tail.Options{StateDir: state}, "app.log")
			waitForCheckpoint(t, state) // the sidecar starts before the application
			done, disturb := make(chan struct{}), c.make(t, dir)
			n := 0
			a := runApplication(t, dir, func(f *logFile) {
				if n == c.rotations {
					return
				}
				disturb(f)
				if n++; n == c.rotations {
					close(done)
				}
			})
			<-done
			lines := a.stop()
			s.stop()
			verify(t, s.stdout.String(), lines, c.strict)
			if lag := s.stats.Lag.Load(); lag != 0 {
				t.Errorf("lag %d", lag)
			}
		})
	}
}

func TestKilledSidecarLosesNothing(t *testing.T) {
	for _, withState := range []bool{true, false} {
		t.Run(fmt.Sprintf("state=%v", withState), func(t *testing.T) {
			dir, state := t.TempDir(), ""
			if withState {
				state = t.TempDir()
			}
			out := &output{}
			c := process(t, dir, state, out) // starts before the application
			if withState {
				waitForCheckpoint(t, state)
			}
			rotate, rotations := rename(t, dir, 100), 0
			a := runApplication(t, dir, func(f *logFile) {
				if rotations++; rotations <= 50 {
					rotate(f)
				}
			})
			var stdout strings.Builder
			for range 5 {
				eventually(t, "some lines", func() bool { return strings.Count(out.String(), "\n") > 100 })
				must(t, c.Process.Kill())
				c.Wait()
				stdout.WriteString(out.String() + "\n")
				out = &output{}
				c = process(t, dir, state, out)
			}
			lines := a.stop()
			eventually(t, "a first line, so that it listens to signals", func() bool { return out.String() != "" })
			must(t, c.Process.Signal(syscall.SIGTERM))
			must(t, c.Wait())
			stdout.WriteString(out.String())
			verify(t, stdout.String(), lines, false)
		})
	}
}

func TestRestartGoesOnWhereTheCheckpointIs(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	f := create(t, dir, "app.log")
	f.print("one\n")
	run := func(meanwhile func()) string {
		s := start(t, dir, &output{}, tail.Options{StateDir: state}, "app.log")
		s.stop()
		meanwhile()
		return s.stdout.String()
	}
	rotate := rename(t, dir, 9)
	expect(t, run(func() { f.print("two\n") }), "one\n")
	expect(t, run(func() {}), "two\n")
	expect(t, run(func() { f.print("three\n"); rotate(&f); f.print("four\n"); rotate(&f); f.print("five\n") }), "")
	expect(t, run(func() { f.print("six\n"); copyTruncate(t, f); f.print("seven\n") }), "three\nfour\nfive\n")
	expect(t, run(func() { must(t, os.WriteFile(filepath.Join(state, "tail.json"), []byte("{"), 0o600)) }), "six\nseven\n")
	for _, line := range []string{"one\n", "two\n", "three\n", "four\n", "five\n", "six\n", "seven\n"} {
		if got := run(func() { os.WriteFile(filepath.Join(state, "tail.json"), nil, 0o600) }); !strings.Contains(got, line) {
			t.Errorf("a broken checkpoint must lose nothing, %q is missing in %q", line, got)
		}
	}
}
