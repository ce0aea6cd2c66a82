package tail_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/agent/tail"
)

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
