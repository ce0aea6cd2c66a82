package tail

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"
	"time"

	"twelvefold.dev/internal/logs"
)

// openRegular opens a file for reading without waiting for a writer, should it be a FIFO now.
func openRegular(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", name)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// copyOf returns the file that listed is a copy of, as copytruncate makes them: the same beginning, and the same bytes
// before the offset unless the copy is shorter. Only a log that was not renamed can have been copied to be truncated.
func (s *stream) copyOf(e entry, size int64, r *os.File) *file {
	for _, f := range s.files {
		head := f.begin()
		if f.name != e.name || head.Len == 0 || f.copyOf != nil || f.rotated() && !f.restored || !head.at(r, 0) {
			continue
		}
		if size < f.offset || f.mark.at(r, f.offset-int64(f.mark.Len)) {
			return f
		}
	}
	return nil
}

// copyBegun reports whether a file is so short and new, and so like a log's beginning, that it may be a copy in the making.
func (s *stream) copyBegun(e entry, info fs.FileInfo, r *os.File) bool {
	return (info.Size() == 0 || time.Since(info.ModTime()) < time.Second) && slices.ContainsFunc(s.files, func(f *file) bool {
		return f.name == e.name && !f.rotated() && info.Size() < int64(f.begin().Len) && markBefore(r, info.Size()).at(f.f, 0)
	})
}

// live reports whether a log has a file that wasn't rotated: what appears beside it under a rotated name is a copy of it.
func (s *stream) live(name string) bool {
	return slices.ContainsFunc(s.files, func(f *file) bool { return f.name == name && !f.rotated() })
}

func (s *stream) find(id identity) *file {
	for _, f := range s.files {
		if f.identity == id {
			return f
		}
	}
	return nil
}

func (s *stream) newFile(e entry, f *os.File, info fs.FileInfo) *file {
	return &file{
		identity: identityOf(info), name: e.name, listed: e.listed, f: f, grown: time.Now(),
		prefix: s.prefix(e.name), stats: s.stats,
	}
}

// prefix begins the envelopes of a log, which is named there as the application knows it.
func (s *stream) prefix(name string) []byte {
	p := s.plan.Path
	if logs.IsGlob(s.base) {
		p = path.Join(path.Dir(p), name)
	}
	return envelopePrefix(p, s.plan.Container)
}

// insert adds a file behind the older generations of its log. One that was rotated away before it was ever seen
// comes before the log's present file.
func (s *stream) insert(f *file) {
	at := len(s.files)
	if f.rotated() {
		if i := slices.IndexFunc(s.files, func(g *file) bool { return g.name == f.name && !g.rotated() }); i >= 0 {
			at = i
		}
	}
	s.files = slices.Insert(s.files, at, f)
}

// release lets the copies of f, which was truncated or has vanished, be read from where f was left.
func (s *stream) release(f *file) {
	for _, c := range s.files {
		if c.copyOf != f {
			continue
		}
		c.copyOf = nil
		switch info, err := c.f.Stat(); {
		case err == nil && info.Size() <= f.offset:
			c.jump(info.Size())
		case f.mark.at(c.f, f.offset-int64(f.mark.Len)):
			c.jump(f.offset)
		default: // no copy after all
			c.reset()
		}
	}
}

// restart makes f the newest generation of its log, to be read from its beginning.
func (s *stream) restart(f *file) {
	if name, ok := s.logOf(f.listed); ok && f.listed != "" && name != f.name { // the inode was given to another log
		f.name = name
		f.prefix = s.prefix(name)
	}
	f.reset()
	s.files = slices.DeleteFunc(s.files, func(g *file) bool { return g == f })
	s.files = append(s.files, f)
}

// superseded reports whether the glob also matches a younger file whose name differs in its digits only:
// app-2026-11-22.log has been left for app-2026-11-23.log.
func (s *stream) superseded(f *file) bool {
	return logs.IsGlob(s.base) && slices.ContainsFunc(s.files, func(g *file) bool {
		return g != f && g.grown.After(f.grown) && skeleton(g.name) == skeleton(f.name)
	})
}

func skeleton(name string) string {
	b := make([]byte, 0, len(name))
	for i := range len(name) {
		if name[i] < '0' || name[i] > '9' {
			b = append(b, name[i])
		}
	}
	return string(b)
}
