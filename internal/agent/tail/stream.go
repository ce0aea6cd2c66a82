package tail

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"twelvefold.dev/internal/logs"
)

// A stream is one entry of the plan: a log, or all logs that match a glob, with their rotated generations.
type stream struct {
	plan    logs.File
	dir     string
	base    string          // a name or a glob
	files   []*file         // generations of a log in the order of their making
	entries []entry         // of the last look
	names   map[string]bool // the logs seen so far
	stats   *Counters

	unsettled int // looks in a row at which names moved
}

func newStream(p logs.File) *stream {
	s := &stream{plan: p, dir: path.Dir(p.Mount), base: path.Base(p.Mount), names: map[string]bool{}, stats: new(Counters)}
	if !logs.IsGlob(s.base) {
		s.names[s.base] = true
	}
	return s
}

// entry is a file of the directory that belongs to the stream.
type entry struct {
	listed string // its name
	name   string // the log it is, or was before its rotation
	info   fs.FileInfo
}

func (e entry) rotated() bool { return e.listed != e.name }

// list returns the stream's files, the oldest generation first. The root keeps symbolic links inside of the directory:
// an application must not make the sidecar read the sidecar's own files.
func (s *stream) list(root *os.Root, warn func(listed string, err error)) ([]entry, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	listed, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	for _, l := range listed {
		if s.matches(l) {
			s.names[l] = true
		}
	}
	var entries []entry
	for _, l := range listed {
		name, ok := s.logOf(l)
		if !ok {
			continue
		}
		info, err := root.Stat(l)
		if errors.Is(err, fs.ErrNotExist) {
			continue // renamed meanwhile, or a link whose target will come
		}
		warn(l, err)
		if err == nil && info.Mode().IsRegular() { // never a link to /dev/stdout: that would be our own
			entries = append(entries, entry{l, name, info})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		switch {
		case a.rotated() != b.rotated():
			if a.rotated() {
				return -1
			}
			return 1
		case a.info.ModTime() != b.info.ModTime():
			return a.info.ModTime().Compare(b.info.ModTime())
		default: // rotated within a tick of the clock
			return byName(a.listed, b.listed)
		}
	})
	return entries, nil
}

// byName compares the names of two generations, the older first: app.log.2 before app.log.1, app.log-20261123 before
// app.log-20261124.
func byName(a, b string) int {
	digits := 0
	for i := len(a) - 1; i >= 0 && digits < 6; i-- {
		if a[i] >= '0' && a[i] <= '9' {
			digits++
		}
	}
	if digits == 6 && len(a) == len(b) {
		return cmp.Compare(a, b)
	}
	return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(b, a))
}

// matches reports whether the name is a log of the stream as the plan has it. Compressed generations match only where asked for.
func (s *stream) matches(listed string) bool {
	if !logs.IsGlob(s.base) {
		return listed == s.base
	}
	ok, _ := path.Match(s.base, listed) // the plan was validated
	return ok && (!compressed(listed) || path.Ext(listed) == path.Ext(s.base))
}

// logOf returns the log that the file named listed is a generation of.
func (s *stream) logOf(listed string) (name string, ok bool) {
	for n := range s.names {
		if rotatedFrom(listed, n) && len(n) > len(name) {
			name = n
		}
	}
	if name != "" {
		return name, true
	}
	return listed, s.matches(listed)
}

// rotatedFrom reports whether listed is a name that a rotation gives to the log called name: app.log.1, app.log-20261123,
// app.log.old, app-2026-11-23T10.log, app.1.log. app-error.log is another log.
func rotatedFrom(listed, name string) bool {
	if compressed(listed) || listed == name {
		return false
	}
	if rest, ok := strings.CutPrefix(listed, name); ok {
		switch rest {
		case ".old", ".bak", ".prev", "~":
			return true
		}
		return numbered(rest)
	}
	ext := path.Ext(name)
	rest, ok := strings.CutPrefix(listed, strings.TrimSuffix(name, ext))
	return ok && ext != "" && strings.HasSuffix(rest, ext) && numbered(rest)
}

func numbered(rest string) bool {
	return len(rest) >= 2 && strings.IndexByte(".-_", rest[0]) >= 0 && rest[1] >= '0' && rest[1] <= '9'
}

func compressed(name string) bool {
	switch path.Ext(name) {
	case ".gz", ".zst", ".bz2", ".xz", ".lz4", ".zip", ".tmp":
		return true
	}
	return false
}
