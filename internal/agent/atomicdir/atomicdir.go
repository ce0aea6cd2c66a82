// Package atomicdir replaces a set of files in a directory all at once, with the layout that the kubelet gives to volumes of Secrets:
//
//	tls.crt -> ..data/tls.crt
//	..data -> ..2026_11_25_22_50_11.1234567890
//	..2026_11_25_22_50_11.1234567890/tls.crt
//
// A set is written into a new directory, and ..data is moved to it with one rename. So whoever reads through ..data sees the old set
// or the new one, and a process that is killed anywhere leaves one of the two; the next call clears away what it left.
// Everything goes through [os.Root]: no link that somebody else planted leads outside.
package atomicdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// File is a file of a set.
type File struct {
	Path    string // relative, clean, with slashes; its first element doesn't begin with ".."
	Content []byte
	Mode    fs.FileMode // permission bits, which no umask changes
}

// Write makes files the set of a directory, which must exist. It touches nothing that is as it should be, and nothing that it did
// not make, unless that stands where a file of the set belongs. After an error, the set is the old one or the new one.
func Write(dir string, files []File) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return write(root, files, time.Now())
}

// data is the link to the directory that holds the set.
const data = "..data"

// filesystem is the part of [os.Root] that is used: its tests fail at every call.
type filesystem interface {
	FS() fs.FS
	Lstat(name string) (fs.FileInfo, error)
	Readlink(name string) (string, error)
	Mkdir(name string, mode fs.FileMode) error
	WriteFile(name string, content []byte, mode fs.FileMode) error
	Chmod(name string, mode fs.FileMode) error
	Symlink(target, name string) error
	Rename(from, to string) error
	RemoveAll(name string) error
}

func write(root filesystem, files []File, now time.Time) error {
	set, err := setOf(files)
	if err != nil {
		return err
	}
	current := currentOf(root)
	if current == "" || !set.isIn(root, current) {
		if current, err = set.install(root, now); err != nil {
			return err
		}
	}
	if err := set.link(root); err != nil {
		return err
	}
	return set.sweep(root, current)
}

// currentOf is the directory that ..data leads to, or empty if that is none of ours.
func currentOf(root filesystem) string {
	target, err := root.Readlink(data)
	if err != nil || !generation.MatchString(target) {
		return ""
	}
	return target
}

// set is what is wanted.
type set struct {
	files map[string]File // by path
	dirs  []string        // their parents, outer ones first
	names map[string]bool // the first elements of the paths
}

func setOf(files []File) (set, error) {
	s := set{files: map[string]File{}, names: map[string]bool{}}
	seen := map[string]bool{}
	for _, f := range files {
		if !fs.ValidPath(f.Path) || f.Path == "." || strings.HasPrefix(f.Path, "..") {
			return set{}, fmt.Errorf("%q cannot be the path of a file: it must be relative and clean, and not begin with two dots", f.Path)
		}
		s.files[f.Path] = f
		first, _, _ := strings.Cut(f.Path, "/")
		s.names[first] = true
		for i, c := range f.Path {
			if c == '/' && !seen[f.Path[:i]] {
				seen[f.Path[:i]] = true
				s.dirs = append(s.dirs, f.Path[:i])
			}
		}
	}
	for _, dir := range s.dirs {
		if _, ok := s.files[dir]; ok {
			return set{}, fmt.Errorf("%q cannot be both a file and a directory", dir)
		}
	}
	return s, nil
}

// isIn reports whether a directory holds exactly the set.
func (s set) isIn(root filesystem, dir string) bool {
	found := 0
	differs := errors.New("differs")
	err := fs.WalkDir(root.FS(), dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir || d.IsDir() {
			return err
		}
		want, ok := s.files[strings.TrimPrefix(name, dir+"/")]
		info, err := d.Info()
		if err != nil || !ok || info.Mode() != want.Mode {
			return differs
		}
		content, err := fs.ReadFile(root.FS(), name)
		if err != nil || string(content) != string(want.Content) {
			return differs
		}
		found++
		return nil
	})
	return err == nil && found == len(s.files)
}

// install writes the set to a new directory and moves ..data to it.
func (s set) install(root filesystem, now time.Time) (dir string, err error) {
	dir = newGeneration(now)
	if err = s.fill(root, dir); err == nil {
		err = replace(root, data, dir)
	}
	if err != nil && currentOf(root) != dir {
		err = errors.Join(err, root.RemoveAll(dir)) // a full volume has its space back
	}
	return dir, err
}

func (s set) fill(root filesystem, dir string) error {
	if err := makeDir(root, dir); err != nil {
		return err
	}
	for _, sub := range s.dirs {
		if err := makeDir(root, path.Join(dir, sub)); err != nil {
			return err
		}
	}
	for _, f := range s.files {
		name := path.Join(dir, f.Path)
		if err := root.WriteFile(name, f.Content, 0o600); err != nil {
			return err
		}
		if err := root.Chmod(name, f.Mode); err != nil { // the umask doesn't bind it
			return err
		}
	}
	return nil
}

// makeDir makes a directory that everyone can read. Its set-group-ID bit, by which its files belong to the pod's fsGroup, is kept.
func makeDir(root filesystem, name string) error {
	if err := root.Mkdir(name, 0o755); err != nil {
		return err
	}
	info, err := root.Lstat(name)
	if err != nil {
		return err
	}
	return root.Chmod(name, 0o755|info.Mode()&fs.ModeSetgid)
}

// link makes the names by which the files are known.
func (s set) link(root filesystem) error {
	for name := range s.names {
		target := path.Join(data, name)
		if have, err := root.Readlink(name); err == nil && have == target {
			continue
		}
		if err := replace(root, name, target); err != nil {
			return err
		}
	}
	return nil
}

// replace makes name a link to target, whatever it was.
func replace(root filesystem, name, target string) error {
	if err := root.RemoveAll(temporary); err != nil {
		return err
	}
	if err := root.Symlink(target, temporary); err != nil {
		return err
	}
	if info, err := root.Lstat(name); err == nil && info.IsDir() { // not ours: our names are links, which rename replaces
		if err := root.RemoveAll(name); err != nil {
			return err
		}
	}
	return root.Rename(temporary, name)
}

// sweep removes what is left of earlier sets.
func (s set) sweep(root filesystem, current string) error {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		stale := name == temporary || name != current && generation.MatchString(name)
		if e.Type() == fs.ModeSymlink && !s.names[name] {
			target, err := root.Readlink(name)
			stale = stale || err == nil && target == path.Join(data, name)
		}
		if !stale {
			continue
		}
		if err := root.RemoveAll(name); err != nil {
			return err
		}
	}
	return nil
}
