package tail_test

import (
	"os"
	"testing"
	"time"

	"twelvefold.dev/internal/agent/tail"
)

func TestKernelTellsOfFilesAndWrites(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, &output{}, tail.Options{Poll: time.Hour}, "app.log")
	f := create(t, dir, "app.log")
	f.print("one\ntwo\n") // two may still be continued
	s.waitFor("one\n")
	must(t, os.Rename(f.Name(), f.Name()+".1"))
	create(t, dir, "app.log").print("three\nfour\n")
	eventually(t, "both files are open", func() bool { return s.stats.Open.Load() == 2 })
	s.stop()
	expect(t, s.stdout.String(), "one\ntwo\nthree\nfour\n")
}

func TestWritesWakeAnIdleSidecar(t *testing.T) {
	dir := t.TempDir()
	f := create(t, dir, "app.log")
	s := start(t, dir, &output{}, tail.Options{Poll: time.Hour}, "app.log")
	eventually(t, "the file is open", func() bool { return s.stats.Open.Load() == 1 })
	f.print("one\ntwo\n")
	s.waitFor("one\n")
	s.stop()
	expect(t, s.stdout.String(), "one\ntwo\n")
}
