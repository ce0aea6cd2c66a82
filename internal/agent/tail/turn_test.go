package tail

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"twelvefold.dev/internal/logs"
)

// A log may be copied and truncated before anything was read of it. Its copy comes first, and nothing comes twice, wherever
// between these steps the sidecar looks and reads.
func TestUnreadGenerationIsCopiedAndTruncated(t *testing.T) {
	log := filepath.Join(t.TempDir(), "app.log")
	steps := []struct{ file, text string }{{log, "1\n2\n3\n"}, {log + ".1", ""}, {log + ".1", "1\n2\n"}, {log + ".1", "1\n2\n3\n"}, {log, ""}, {log, "4\n5\n6\n"}}
	for run := range 729 { // after each of the steps: nothing, a look, a read
		os.Remove(log + ".1")
		write := func(file, text string) {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil { // truncates, and keeps the inode
				t.Fatal(err)
			}
		}
		write(log, "")
		var stdout bytes.Buffer
		tailer := newTailer(logs.Plan{Files: []logs.File{{Path: log, Mount: log}}}, &stdout, slog.New(slog.DiscardHandler), Options{})
		tailer.mu.Lock()
		var err error
		var did []string
		for i, next := 0, run; i < len(steps); i, next = i+1, next/3 {
			write(steps[i].file, steps[i].text)
			did = append(did, []string{"-", "look", "read"}[next%3])
			switch next % 3 {
			case 1:
				tailer.scanAll()
			case 2:
				for more := true; more && err == nil; {
					more, err = tailer.pass(open)
				}
			}
		}
		tailer.mu.Unlock()
		tailer.notifier.close()
		if err := errors.Join(err, tailer.drain()); err != nil {
			t.Fatal(err)
		}
		if got := stdout.String(); got != "1\n2\n3\n4\n5\n6\n" {
			t.Errorf("%v: got %q", did, got)
		}
	}
}
