package tail_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
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

func TestLateFileComesFromItsFirstByte(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "late")
	s := start(t, dir, &output{}, tail.Options{}, "app.log")
	eventually(t, "a warning", func() bool { return strings.Contains(s.log.String(), "no such file") })
	must(t, os.MkdirAll(dir, 0o755))
	f := create(t, dir, "app.log")
	f.print("one\ntwo\n")
	s.waitFor("two\n")
	f.print("three\n")
	s.stop()
	expect(t, s.stdout.String(), "one\ntwo\nthree\n")
	if n := strings.Count(s.log.String(), "no such file"); n != 1 {
		t.Errorf("warned %d times:\n%s", n, s.log)
	}
	if l, b, lag := s.stats.Lines.Load(), s.stats.Bytes.Load(), s.stats.Lag.Load(); l != 3 || b != 14 || lag != 0 {
		t.Errorf("lines %d, bytes %d, lag %d", l, b, lag)
	}
}

func TestLastLineWithoutNewlineComesAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	f := create(t, dir, "app.log")
	s := start(t, dir, &output{}, tail.Options{}, "app.log")
	f.print("one\ntw")
	s.waitFor("one\n")
	f.print("o\nlast words")
	s.waitFor("two\n")
	s.stop()
	expect(t, s.stdout.String(), "one\ntwo\nlast words\n")
}

func TestWritesTakeWholeRecords(t *testing.T) {
	for _, names := range [][]string{{"app.log"}, {"app.log", "other.log"}} {
		t.Run(fmt.Sprint(len(names)), func(t *testing.T) {
			dir := t.TempDir()
			trace := "boom\n" + strings.Repeat("\tat A.b(A.java:1)\n", 1000) + "Caused by: x\n\t... 2 more\n"
			records := []string{"one\n", trace, "\xff\x00binary\n", "three\n", "\x00" + strings.Repeat("long ", 20_000) + "\n"}
			records = append(slices.Repeat(records, 10), "end\n")
			create(t, dir, "app.log").print(strings.Join(records, ""))
			s := start(t, dir, &output{}, tail.Options{}, names...)
			s.waitFor("end")
			s.stop()
			writes := s.stdout.all()
			for i, w := range writes {
				n := 1
				if len(names) > 1 {
					n = strings.Count(w, "\n")
					w = logsOf(t, w)["/var/log/app/app.log"]
				}
				size := 0
				for ; len(records) > 0 && w != ""; size++ {
					r := strings.ToValidUTF8(records[0], "\ufffd")
					if len(names) == 1 {
						r = records[0]
					}
					rest, ok := strings.CutPrefix(w, r)
					if !ok {
						t.Fatalf("write %d: %.100q is not the record %.100q", i, w, r)
					}
					w, records = rest, records[1:]
				}
				if len(writes[i]) > 64<<10 && size > 1 || len(names) > 1 && n != size {
					t.Errorf("write %d: %d bytes, %d records, %d lines", i, len(writes[i]), size, n)
				}
			}
			if len(records) > 0 || len(writes) > 25 {
				t.Errorf("%d writes; %d records are missing", len(writes), len(records))
			}
		})
	}
}

func TestStackTraceThatArrivesSlowlyIsOneWrite(t *testing.T) {
	dir := t.TempDir()
	f := create(t, dir, "app.log")
	s := start(t, dir, &output{}, tail.Options{Poll: 300 * time.Millisecond}, "app.log")
	f.print("first\nboom\n")
	s.waitFor("first\n") // so boom was read, and waits for what may follow
	f.print("\tat A.b(A.java:1)\n")
	s.waitFor("A.java")
	s.stop()
	if d := cmp.Diff([]string{"first\n", "boom\n\tat A.b(A.java:1)\n"}, s.stdout.all()); d != "" {
		t.Errorf("writes (-want +got):\n%s", d)
	}
}

func TestLongLineIsWhole(t *testing.T) {
	for _, names := range [][]string{{"app.log"}, {"app.log", "other.log"}} {
		t.Run(fmt.Sprint(len(names)), func(t *testing.T) {
			dir := t.TempDir()
			f := create(t, dir, "app.log")
			s := start(t, dir, &output{}, tail.Options{}, names...)
			long := strings.Repeat("0123456789 €", 800_000) // 11 MB, with characters on the borders of pieces
			f.print("before\n" + long[:len(long)/2])
			s.waitFor("before")
			f.print(long[len(long)/2:] + "\nafter\n")
			s.waitFor("after")
			f.print(long) // no newline any more
			s.stop()
			got := s.stdout.String()
			if len(names) > 1 {
				got = logsOf(t, got)["/var/log/app/app.log"]
			}
			if got != "before\n"+long+"\nafter\n"+long+"\n" {
				t.Errorf("%d bytes, or others than those written", len(got))
			}
			for _, w := range s.stdout.all() {
				if len(w) > 2*tail.MaxWrite {
					t.Fatalf("a write of %d bytes", len(w))
				}
			}
		})
	}
}

// logsOf takes envelopes apart and returns the text of every file.
func logsOf(t *testing.T, stdout string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for line := range strings.Lines(stdout) {
		var e struct{ File, Container, Log string }
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil || e.Container != "app" {
			t.Fatalf("%.100q: %v", line, err)
		}
		files[e.File] += e.Log + "\n"
	}
	return files
}

func TestGlobAndEnvelope(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, &output{}, tail.Options{}, "*.log")
	create(t, dir, "a.log").print("a \"quoted\"\n\tat b\n")
	create(t, dir, "b.log").print("b \xff <&>\n")
	create(t, dir, "c.txt").print("not this\n")
	create(t, dir, "a.log.1.gz").print("nor this\n")
	s.waitFor("quoted")
	s.waitFor("<&>")
	create(t, dir, "late.log").print("late")
	s.stop()
	want := map[string]string{
		"/var/log/app/a.log":    "a \"quoted\"\n\tat b\n",
		"/var/log/app/b.log":    "b \ufffd <&>\n",
		"/var/log/app/late.log": "late\n",
	}
	if d := cmp.Diff(want, logsOf(t, s.stdout.String())); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if first := `{"file":"/var/log/app/a.log","container":"app","log":"a \"quoted\"\n\tat b"}` + "\n"; !strings.Contains(s.stdout.String(), first) {
		t.Errorf("no record is %s", first)
	}
}

func TestOverlappingEntriesDoNotRepeat(t *testing.T) {
	dir := t.TempDir()
	create(t, dir, "app.log").print("once\n")
	s := start(t, dir, &output{}, tail.Options{}, "app.log", "*.log", "app.log")
	s.stop()
	if n := strings.Count(s.stdout.String(), "once"); n != 1 {
		t.Errorf("%d times", n)
	}
}

func TestRenamedFileIsReadToItsEnd(t *testing.T) {
	dir := t.TempDir()
	old := create(t, dir, "app.log")
	old.print("1\n")
	s := start(t, dir, &output{}, tail.Options{}, "app.log")
	s.waitFor("1\n")
	must(t, os.Rename(old.Name(), filepath.Join(dir, "app.log.1")))
	old.print("2\n") // the application reopens later
	s.waitFor("2\n")
	create(t, dir, "app.log").print("4\n")
	old.print("3 unfinished")
	s.waitFor("3 unfinished\n")
	s.waitFor("4\n")
	must(t, os.Remove(filepath.Join(dir, "app.log.1")))
	old.print("5\n")
	s.stop()
	got := strings.SplitAfter(s.stdout.String(), "\n")
	slices.Sort(got)
	if d := cmp.Diff([]string{"", "1\n", "2\n", "3 unfinished\n", "4\n", "5\n"}, got); d != "" {
		t.Error(d)
	}
}

func TestGenerationsMissedBetweenLooksComeInOrder(t *testing.T) {
	dir := t.TempDir()
	create(t, dir, "app.log").print("0\n")
	s := start(t, dir, &output{}, tail.Options{Poll: time.Second}, "app.log")
	s.waitFor("0\n")
	at := time.Now().Add(-time.Minute)
	for i := 1; i <= 5; i++ { // logrotate's numbers: they all move
		for n := i; n > 1; n-- {
			must(t, os.Rename(fmt.Sprintf("%s/app.log.%d", dir, n-1), fmt.Sprintf("%s/app.log.%d", dir, n)))
		}
		must(t, os.Rename(dir+"/app.log", dir+"/app.log.1"))
		f := create(t, dir, "app.log")
		f.print(fmt.Sprintf("%d\n", i))
		at = at.Add(time.Second)
		must(t, os.Chtimes(f.Name(), at, at)) // file systems may count in ticks
	}
	s.stop()
	expect(t, s.stdout.String(), "0\n1\n2\n3\n4\n5\n")
}

func TestTruncation(t *testing.T) {
	dir := t.TempDir()
	f := create(t, dir, "app.log")
	f.print("one\ntwo\n")
	s := start(t, dir, &output{}, tail.Options{}, "app.log")
	s.waitFor("two\n")
	must(t, f.Truncate(0))
	f.print("three, and longer than all before\n")
	s.waitFor("three, and longer than all before\n")
	must(t, f.Truncate(0))
	eventually(t, "the truncation", func() bool { return s.stats.Truncations.Load() == 2 })
	f.print("4\n")
	s.stop()
	expect(t, s.stdout.String(), "one\ntwo\nthree, and longer than all before\n4\n")
}

func TestCopytruncateTakesTheRestFromTheCopy(t *testing.T) {
	dir := t.TempDir()
	f := create(t, dir, "app.log")
	f.print("one\n")
	s := start(t, dir, &output{}, tail.Options{Poll: 500 * time.Millisecond}, "app.log")
	s.waitFor("one\n")
	f.print("two, unread yet\n")
	copyTruncate(t, f)
	f.print("three\n")
	s.waitFor("three\n")
	copyTruncate(t, f) // nothing is unread
	f.print("four\n")
	s.stop()
	expect(t, s.stdout.String(), "one\ntwo, unread yet\nthree\nfour\n")
	if n := s.stats.Truncations.Load(); n != 2 {
		t.Errorf("%d truncations", n)
	}
}

func TestCopyMadeWhileTheFirstLinesAreWritten(t *testing.T) {
	dir := t.TempDir()
	out := &output{gate: make(chan struct{})}
	f := create(t, dir, "app.log")
	f.print("one\ntwo\n")
	s := start(t, dir, out, tail.Options{}, "app.log")
	eventually(t, "the first line is on its way", func() bool { return s.stats.Lines.Load() > 0 })
	copyTruncate(t, f)
	eventually(t, "the copy is open", func() bool { return s.stats.Open.Load() == 2 })
	f.print("three\n")
	close(out.gate)
	s.waitFor("three\n")
	s.stop()
	expect(t, out.String(), "one\ntwo\nthree\n")
}

func copyTruncate(t *testing.T, f logFile) {
	t.Helper()
	for n := 9; n > 0; n-- {
		os.Rename(fmt.Sprintf("%s.%d", f.Name(), n), fmt.Sprintf("%s.%d", f.Name(), n+1))
	}
	text, err := os.ReadFile(f.Name())
	must(t, err)
	must(t, os.WriteFile(f.Name()+".1", text, 0o644))
	must(t, f.Truncate(0))
}

func TestHoleAfterCopytruncateIsSkipped(t *testing.T) {
	dir := t.TempDir()
	raw, err := os.Create(filepath.Join(dir, "app.log")) // keeps its own position: no O_APPEND
	must(t, err)
	defer raw.Close()
	f := logFile{t, raw}
	before := strings.Repeat("0123456789abcde\n", 10_000)
	f.print(before)
	s := start(t, dir, &output{}, tail.Options{}, "app.log")
	eventually(t, "all read", func() bool { return s.stats.Bytes.Load() == int64(len(before)) })
	must(t, f.Truncate(0))
	f.print("after\n")
	s.waitFor("after\n")
	f.print("more\n")
	s.stop()
	expect(t, strings.TrimPrefix(s.stdout.String(), before), "after\nmore\n")
}

func TestLinksOutOfTheDirectoryAreNotFollowed(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	create(t, outside, "token").print("secret\n")
	must(t, os.Symlink(outside+"/token", dir+"/app.log"))
	must(t, os.Symlink("/dev/stdout", dir+"/other.log"))
	create(t, dir, "real").print("inside\n")
	must(t, os.Symlink("real", dir+"/inside.log"))
	s := start(t, dir, &output{}, tail.Options{}, "*.log")
	s.waitFor("inside")
	s.stop()
	if got := s.stdout.String(); strings.Contains(got, "secret") {
		t.Error(got)
	}
	if n := strings.Count(s.log.String(), "path="+dir+"/app.log"); n != 1 {
		t.Errorf("warned %d times:\n%s", n, s.log)
	}
}

func TestUnreadableFileWarnsOnceAndIsReadWhenItCanBe(t *testing.T) {
	if os.Getuid() == 0 {
		dir := t.TempDir()
		must(t, os.Mkdir(dir+"/app.log", 0o755)) // root may read all: a directory in the place of the log
		s := start(t, dir, &output{}, tail.Options{}, "app.log")
		must(t, os.Remove(dir+"/app.log"))
		create(t, dir, "app.log").print("now\n")
		s.waitFor("now\n")
		s.stop()
		return
	}
	dir := t.TempDir()
	f := create(t, dir, "app.log")
	f.print("now\n")
	must(t, f.Chmod(0))
	s := start(t, dir, &output{}, tail.Options{}, "app.log")
	eventually(t, "a warning", func() bool { return strings.Contains(s.log.String(), "permission denied") })
	must(t, f.Chmod(0o644))
	s.waitFor("now\n")
	s.stop()
	if n := strings.Count(s.log.String(), "permission denied"); n != 1 {
		t.Errorf("warned %d times:\n%s", n, s.log)
	}
}

func TestBlockedStdoutLosesNoGeneration(t *testing.T) {
	dir := t.TempDir()
	out := &output{gate: make(chan struct{})}
	create(t, dir, "app.log").print("0\n")
	s := start(t, dir, out, tail.Options{}, "app.log")
	eventually(t, "the file is open", func() bool { return s.stats.Open.Load() == 1 })
	var want strings.Builder
	want.WriteString("0\n")
	for i := 1; i <= 20; i++ { // each is opened, then deleted, while nothing can be written
		must(t, os.Remove(filepath.Join(dir, "app.log")))
		line := fmt.Sprintf("%d\n", i)
		create(t, dir, "app.log").print(line)
		want.WriteString(line)
		eventually(t, "the file is open", func() bool { return s.stats.Open.Load() == int64(i+1) })
	}
	close(out.gate)
	s.stop()
	expect(t, s.stdout.String(), want.String())
}

func TestFailingStdoutIsAnError(t *testing.T) {
	dir := t.TempDir()
	create(t, dir, "app.log").print("x\n")
	r, w := io.Pipe()
	r.Close()
	err := tail.Run(t.Context(), planOf(dir, "app.log"), w, slog.New(slog.DiscardHandler), tail.Options{Poll: time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "stdout") {
		t.Error(err)
	}
}

func TestDrainedRotatedFilesAreDeletedWhereAskedFor(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	create(t, dir, "app.log.9").print("of an earlier pod\n")
	create(t, dir, "app.log").print("0\n")
	s := start(t, dir, &output{}, tail.Options{StateDir: state, MaxDisk: 1, Quiet: 20 * time.Millisecond}, "app.log")
	s.waitFor("0\n")
	must(t, os.Rename(dir+"/app.log", dir+"/app.log.1"))
	create(t, dir, "app.log").print("1\n")
	eventually(t, "app.log.1 is deleted", func() bool { return s.stats.Deleted.Load() == 1 })
	s.stop()
	left, err := filepath.Glob(dir + "/*")
	must(t, err)
	if d := cmp.Diff([]string{dir + "/app.log", dir + "/app.log.9"}, left); d != "" {
		t.Error(d)
	}
	expect(t, s.stdout.String(), "0\n1\n")
}

func TestOnlyRenamedFilesAreDeleted(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	f := create(t, dir, "app.log")
	f.print("0\n")
	create(t, dir, "other.log").print("0\n")
	plan := planOf(dir, "app.log", "other.log")
	plan.Files[0].MaxDisk = 1
	s := startPlan(t, dir, &output{}, tail.Options{StateDir: state, Quiet: 20 * time.Millisecond}, plan)
	eventually(t, "all lines", func() bool { return s.stats.Lines.Load() == 2 })
	copyTruncate(t, f)
	f.print("1\n")
	eventually(t, "all lines", func() bool { return s.stats.Lines.Load() == 3 })
	for _, name := range []string{"app.log", "other.log"} {
		must(t, os.Rename(filepath.Join(dir, name), filepath.Join(dir, name+"-20261125")))
		create(t, dir, name).print("2\n")
	}
	eventually(t, "the renamed file is deleted", func() bool { return s.stats.Deleted.Load() == 1 })
	s.stop()
	s = startPlan(t, dir, &output{}, tail.Options{StateDir: state, Quiet: 20 * time.Millisecond}, plan)
	rotate := rename(t, dir, 9) // the copy, app.log.1, becomes app.log.2
	f = create(t, dir, "app.log")
	eventually(t, "the file is open", func() bool { return s.stats.Open.Load() > 0 })
	rotate(&f)
	eventually(t, "the renamed file is deleted", func() bool { return s.stats.Deleted.Load() == 1 })
	s.stop()
	left, err := filepath.Glob(dir + "/*")
	must(t, err)
	if d := cmp.Diff([]string{dir + "/app.log", dir + "/app.log.2", dir + "/other.log", dir + "/other.log-20261125"}, left); d != "" {
		t.Error(d)
	}
}
