package tail_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/agent/tail"
)

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
