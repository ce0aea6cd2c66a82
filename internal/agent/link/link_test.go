package link_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"twelvefold.dev/internal/agent/link"
	"twelvefold.dev/internal/logs"
)

func plan(dir string, names ...string) (p logs.LinkPlan) {
	for _, n := range names {
		p.Links = append(p.Links, logs.Link{File: logs.File{Container: "app", Path: "/var/log/app/" + n, Mount: filepath.Join(dir, n)}, To: logs.Stdout})
	}
	return p
}

// A second run, after a restart of all containers, finds the links, or files that the application put in their place.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "b.log"), []byte("old\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := link.Run(plan(dir, "a.log", "b.log")); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a.log", "b.log"} {
			if to, err := os.Readlink(filepath.Join(dir, name)); err != nil || to != "/dev/stdout" {
				t.Errorf("%s: %q, %v", name, to, err)
			}
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
			t.Errorf("%v %v: want the links and nothing else", entries, err)
		}
	}
}

// Every link that fails is told; the others are made.
func TestRunFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "a.log"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := link.Run(plan(dir, "a.log", "none/b.log", "c.log"))
	if err == nil || !strings.Contains(err.Error(), "/var/log/app/a.log of container app: a directory has the name") || !strings.Contains(err.Error(), "/var/log/app/none/b.log") {
		t.Errorf("error: %v", err)
	}
	if _, err := os.Readlink(filepath.Join(dir, "c.log")); err != nil {
		t.Error(err)
	}
}
