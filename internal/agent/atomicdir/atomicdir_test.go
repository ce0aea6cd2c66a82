//go:build unix

package atomicdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// visible reads the files of a directory by their names, as users do: what begins with two dots is for nobody.
func visible(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(filepath.Base(name), "..") {
			continue
		}
		target, err := filepath.EvalSymlinks(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		err = filepath.WalkDir(target, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			files[filepath.Base(name)+strings.TrimPrefix(path, target)] = string(content)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// all lists the names in a directory, those of generations cut.
func all(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		if generation.MatchString(name) {
			name = "..GENERATION"
		}
		names = append(names, name)
	}
	return names
}

func files(pairs ...string) []File {
	var out []File
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, File{Path: pairs[i], Content: []byte(pairs[i+1]), Mode: 0o444})
	}
	return out
}

func mustWrite(t *testing.T, dir string, files []File) {
	t.Helper()
	if err := Write(dir, files); err != nil {
		t.Fatal(err)
	}
}

func TestSetsFollowEachOther(t *testing.T) {
	dir := t.TempDir()
	for _, step := range []struct {
		files []File
		want  map[string]string
		names []string
	}{
		{files("a", "1", "d/b", "2", "d/e/c", "3"), map[string]string{"a": "1", "d/b": "2", "d/e/c": "3"}, []string{"..GENERATION", "..data", "a", "d"}},
		{files("a", "1", "d/b", "new"), map[string]string{"a": "1", "d/b": "new"}, []string{"..GENERATION", "..data", "a", "d"}},
		{files("a", "1"), map[string]string{"a": "1"}, []string{"..GENERATION", "..data", "a"}},
		{files("a/b", "2"), map[string]string{"a/b": "2"}, []string{"..GENERATION", "..data", "a"}},
		{nil, map[string]string{}, []string{"..GENERATION", "..data"}},
		{files("a", "x"), map[string]string{"a": "x"}, []string{"..GENERATION", "..data", "a"}},
	} {
		mustWrite(t, dir, step.files)
		if diff := cmp.Diff(step.want, visible(t, dir)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(step.names, all(t, dir)); diff != "" {
			t.Errorf("names (-want +got):\n%s", diff)
		}
	}
}

func TestNothingIsTouchedWhereNothingChanged(t *testing.T) {
	dir := t.TempDir()
	set := files("a", "1", "d/b", "2")
	mustWrite(t, dir, set)
	before, _ := os.Readlink(filepath.Join(dir, data))
	info, _ := os.Lstat(dir)
	mustWrite(t, dir, set)
	after, _ := os.Readlink(filepath.Join(dir, data))
	again, _ := os.Lstat(dir)
	if before != after || !info.ModTime().Equal(again.ModTime()) {
		t.Errorf("the set moved from %s to %s", before, after)
	}
	set[0].Mode = 0o440
	mustWrite(t, dir, set)
	if after, _ := os.Readlink(filepath.Join(dir, data)); after == before {
		t.Error("a mode that changed is no change")
	}
}

func TestModesDefyTheUmask(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	dir := t.TempDir()
	mustWrite(t, dir, []File{{Path: "d/a", Mode: 0o666}, {Path: "b", Mode: 0o640}, {Path: "c", Mode: 0o755}})
	for name, want := range map[string]fs.FileMode{"d/a": 0o666, "d": fs.ModeDir | 0o755, "..data": fs.ModeDir | 0o755, "b": 0o640, "c": 0o755} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
}

// The kubelet sets the bit on volumes of pods with an fsGroup.
func TestGroupIsInherited(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777|fs.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, dir, files("d/a", "1"))
	for _, name := range []string{"..data", "d"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode()&fs.ModeSetgid == 0 {
			t.Errorf("%s: mode %v, %v; want the set-group-ID bit", name, info.Mode(), err)
		}
	}
}

func TestPathsThatAreRefused(t *testing.T) {
	for _, set := range [][]File{
		files("", ""), files(".", ""), files("..", ""), files("../a", ""), files("/a", ""), files("a/../b", ""), files("a//b", ""),
		files("..data", ""), files("..data/a", ""), files("a", "", "a/b", ""),
	} {
		dir := t.TempDir()
		if err := Write(dir, set); err == nil {
			t.Errorf("%q is written", set[0].Path)
		}
		if names := all(t, dir); len(names) > 0 {
			t.Errorf("%q left %v", set[0].Path, names)
		}
	}
}

// Others may write into the volume, too: it neither leads us outside nor stops us, and what is not in the way stays.
func TestWhatOthersPut(t *testing.T) {
	outside := t.TempDir()
	for name, plant := range map[string]func(dir string) error{
		"link in place of a directory": func(dir string) error { return os.Symlink(outside, filepath.Join(dir, "d")) },
		"link in place of a file":      func(dir string) error { return os.Symlink(filepath.Join(outside, "x"), filepath.Join(dir, "a")) },
		"file":                         func(dir string) error { return os.WriteFile(filepath.Join(dir, "a"), nil, 0o400) },
		"directory":                    func(dir string) error { return os.MkdirAll(filepath.Join(dir, "a/x/y"), 0o755) },
		"data leads outside":           func(dir string) error { return os.Symlink(outside, filepath.Join(dir, data)) },
		"data is a directory":          func(dir string) error { return os.MkdirAll(filepath.Join(dir, data, "a"), 0o755) },
		"temporary is a directory":     func(dir string) error { return os.MkdirAll(filepath.Join(dir, temporary, "a"), 0o755) },
		"temporary leads outside":      func(dir string) error { return os.Symlink(outside, filepath.Join(dir, temporary)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := errors.Join(plant(dir), os.WriteFile(filepath.Join(dir, "theirs"), []byte("x"), 0o644)); err != nil {
				t.Fatal(err)
			}
			mustWrite(t, dir, files("a", "1", "d/b", "2"))
			if diff := cmp.Diff(map[string]string{"a": "1", "d/b": "2", "theirs": "x"}, visible(t, dir)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
				t.Errorf("outside: %v, %v", entries, err)
			}
		})
	}
}

// failing fails at a call, before or after it did its work.
type failing struct {
	filesystem
	calls, at int
	fail      func() error
	after     bool
}

func (f *failing) step(do func() error) error {
	f.calls++
	if f.calls != f.at {
		return do()
	}
	if f.after {
		if err := do(); err != nil {
			return err
		}
	}
	return f.fail()
}

func (f *failing) Mkdir(name string, mode fs.FileMode) error {
	return f.step(func() error { return f.filesystem.Mkdir(name, mode) })
}

func (f *failing) WriteFile(name string, content []byte, mode fs.FileMode) error {
	return f.step(func() error { return f.filesystem.WriteFile(name, content, mode) })
}

func (f *failing) Chmod(name string, mode fs.FileMode) error {
	return f.step(func() error { return f.filesystem.Chmod(name, mode) })
}

func (f *failing) Symlink(target, name string) error {
	return f.step(func() error { return f.filesystem.Symlink(target, name) })
}

func (f *failing) Rename(from, to string) error {
	return f.step(func() error { return f.filesystem.Rename(from, to) })
}

func (f *failing) RemoveAll(name string) error {
	return f.step(func() error { return f.filesystem.RemoveAll(name) })
}

type crash struct{}

// Whichever call is the last of a process, or fails, readers have the old set or the new one, and the next run mends the rest.
func TestFailureAtEveryStep(t *testing.T) {
	older := files("cert", "old", "d/key", "old", "gone", "old")
	newer := files("cert", "new", "d/key", "new", "fresh", "new")
	full := errors.New("no space left")
	for name, fail := range map[string]func() error{"crash": func() error { panic(crash{}) }, "error": func() error { return full }} {
		for _, after := range []bool{false, true} {
			steps := 0
			for at := 1; ; at++ {
				dir := t.TempDir()
				mustWrite(t, dir, older)
				failed := writeFailing(t, dir, newer, at, after, fail)
				got := visible(t, dir)
				if got["cert"] != got["d/key"] || got["cert"] != "old" && got["cert"] != "new" {
					t.Errorf("%s at call %d: %v", name, at, got)
				}
				if got["cert"] == "old" && got["gone"] != "old" {
					t.Errorf("%s at call %d: the old set is not whole: %v", name, at, got)
				}
				mustWrite(t, dir, newer)
				if diff := cmp.Diff([]string{"..GENERATION", "..data", "cert", "d", "fresh"}, all(t, dir)); diff != "" {
					t.Errorf("%s at call %d, then another run: names (-want +got):\n%s", name, at, diff)
				}
				if diff := cmp.Diff(map[string]string{"cert": "new", "d/key": "new", "fresh": "new"}, visible(t, dir)); diff != "" {
					t.Errorf("%s at call %d, then another run (-want +got):\n%s", name, at, diff)
				}
				if !failed {
					break
				}
				steps++
			}
			if steps < 15 {
				t.Errorf("%s: only %d calls", name, steps)
			}
		}
	}
}

// writeFailing reports whether there was a call to fail.
func writeFailing(t *testing.T, dir string, files []File, at int, after bool, fail func() error) (failed bool) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	f := &failing{filesystem: root, at: at, after: after, fail: fail}
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(crash); !ok {
				panic(p)
			}
			failed = true
		}
	}()
	err = write(f, files, time.Now())
	if failed = f.calls >= at; failed == (err == nil) {
		t.Errorf("call %d of %d failed, and the result is %v", at, f.calls, err)
	}
	return failed
}

// A write that fails gives back the space that it took.
func TestErrorLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	mustWrite(t, dir, files("a", "old"))
	before := all(t, dir)
	writeFailing(t, dir, files("a", "new", "b", "new"), 3, false, func() error { return errors.New("no space left") })
	if diff := cmp.Diff(before, all(t, dir)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReadersSeePairs(t *testing.T) {
	dir := t.TempDir()
	pair := func(i int) []File {
		text := strings.Repeat(fmt.Sprintf("%06d ", i), 2000)
		return files("tls.crt", text, "tls.key", text)
	}
	mustWrite(t, dir, pair(0))
	done := make(chan struct{})
	var readers sync.WaitGroup
	reads := make([]int, 3)
	for i := range reads {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				set, err := os.OpenRoot(filepath.Join(dir, data))
				if err != nil {
					continue // the set went away after the link was read: a reader tries again
				}
				cert, err1 := set.ReadFile("tls.crt")
				key, err2 := set.ReadFile("tls.key")
				set.Close()
				if err := errors.Join(err1, err2); err != nil {
					if !errors.Is(err, fs.ErrNotExist) {
						t.Error(err)
					}
					continue
				}
				if string(cert) != string(key) || len(cert) != 14000 {
					t.Error("certificate and key differ, or are not whole")
					return
				}
				reads[i]++
			}
		})
	}
	for i := 1; i <= 300; i++ {
		mustWrite(t, dir, pair(i))
	}
	close(done)
	readers.Wait()
	for _, n := range reads {
		if n == 0 {
			t.Error("a reader never read a pair")
		}
	}
}
