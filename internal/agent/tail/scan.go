package tail

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
)

// scanAll looks at all directories.
func (t *tailer) scanAll() {
	var lag, disk, opened int64
	for _, s := range t.streams {
		t.scan(s)
		for _, f := range s.files {
			if f.f != nil {
				opened++
			}
		}
		var lags, disks int64
		for _, e := range s.entries {
			disks += e.info.Size()
			if f := s.find(identityOf(e.info)); f != nil && f.copyOf == nil {
				lags += max(0, e.info.Size()-f.offset)
			}
		}
		s.stats.Lag.Store(lags)
		if limit := s.plan.MaxDisk; limit > 0 && disks > limit {
			t.deleteRotated(disks-limit, s)
		}
		lag, disk = lag+lags, disk+disks
	}
	t.stats.Lag.Store(lag)
	t.stats.Open.Store(opened)
	if t.opts.MaxDisk > 0 && disk > t.opts.MaxDisk {
		t.deleteRotated(disk-t.opts.MaxDisk, t.streams...)
	}
}

// idle reports whether the last look has found nothing to read and nothing to wait for but a write.
func (t *tailer) idle() bool {
	return t.stats.Lag.Load() == 0 && !slices.ContainsFunc(t.streams, func(s *stream) bool {
		return slices.ContainsFunc(s.files, func(f *file) bool { return f.f != nil && f.rotated() })
	})
}

// maxUnsettled is how many looks in a row change nothing because names move. The next one makes do with what it sees: what
// is not opened may be removed.
const maxUnsettled = 20

// scan opens what is new in the stream's directory and notes what was renamed or removed. It reports whether names moved
// meanwhile, so that something may have escaped it.
func (t *tailer) scan(s *stream) (moved bool) {
	root, err := os.OpenRoot(s.dir)
	if err == nil {
		defer root.Close()
		moved, err = t.list(s, root)
	}
	t.warn(s.dir, err)
	if err != nil {
		return false
	}
	if s.unsettled++; !moved {
		s.unsettled = 0
	} else if s.unsettled < maxUnsettled && !t.fresh && !t.draining {
		return true
	}
	for _, f := range s.files {
		f.listed = ""
	}
	var unknown []entry
	for _, e := range s.entries {
		if f := s.find(identityOf(e.info)); f == nil {
			unknown = append(unknown, e)
		} else if f.listed == "" || e.listed == f.name { // a file may have several names, by links
			f.listed = e.listed
		}
	}
	for _, e := range s.entries {
		if f := s.find(identityOf(e.info)); f != nil && f.f == nil {
			t.warn(path.Join(s.dir, e.listed), f.reopen(root, e))
		}
	}
	for _, e := range unknown {
		if !t.follows(identityOf(e.info)) {
			gone, err := t.follow(s, root, e)
			t.warn(path.Join(s.dir, e.listed), err)
			if gone { // the younger ones must not come before it
				moved = true
				break
			}
		}
	}
	for _, f := range s.files {
		if f.restored && f.listed == "" {
			s.release(f)
		}
		f.restored = false
	}
	s.files = slices.DeleteFunc(s.files, func(f *file) bool { return f.f == nil && f.listed == "" })
	return moved
}

// list lists the stream's files. While a rotation renames them a listing may lack some, and what it lacks would come too
// late, after younger ones, or twice: a change counts when two listings agree on it, or after many that don't.
func (t *tailer) list(s *stream, root *os.Root) (moved bool, err error) {
	warn := func(listed string, err error) { t.warn(path.Join(s.dir, listed), err) }
	s.entries, err = s.list(root, warn)
	for range 10 {
		if err != nil || s.knowsEntries() {
			return false, err
		}
		before := s.entries
		s.entries, err = s.list(root, warn)
		if slices.EqualFunc(before, s.entries, func(a, b entry) bool { return a.listed == b.listed && os.SameFile(a.info, b.info) }) {
			return false, err
		}
	}
	return true, err
}

// knowsEntries reports whether the entries are the files that were there at the last look, no more and no fewer.
func (s *stream) knowsEntries() bool {
	there := map[*file]bool{}
	for _, e := range s.entries {
		f := s.find(identityOf(e.info))
		if f == nil {
			return false
		}
		there[f] = true
	}
	return !slices.ContainsFunc(s.files, func(f *file) bool { return f.listed != "" && !there[f] })
}

// follows reports whether any stream has the file: globs may overlap.
func (t *tailer) follows(id identity) bool {
	return slices.ContainsFunc(t.streams, func(s *stream) bool { return s.find(id) != nil })
}

// follow begins to read a file, unless it is a copy, may become one, or was rotated by an earlier pod. It reports whether the
// file has got another name meanwhile: then the next look gets it right.
func (t *tailer) follow(s *stream, root *os.Root, e entry) (moved bool, err error) {
	f, info, err := openRegular(root, e.listed)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if identityOf(info) != identityOf(e.info) {
		return true, f.Close()
	}
	g := s.newFile(e, f, info)
	if e.rotated() {
		g.copied = s.live(e.name)
		if g.old = t.fresh; g.old {
			g.jump(info.Size())
			g.close()
		} else if g.copyOf = s.copyOf(e, info.Size(), f); g.copyOf == nil && !t.draining && s.copyBegun(e, info, f) {
			return false, f.Close()
		}
	}
	s.insert(g)
	return false, nil
}

// reopen opens a file again that was closed at its end, if it has changed since. Whether it still is the same file is seen
// when it is read.
func (f *file) reopen(root *os.Root, e entry) error {
	if e.info.Size() == f.offset && e.info.ModTime().Equal(f.mtime) {
		return nil
	}
	r, info, err := openRegular(root, e.listed)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if identityOf(info) != f.identity {
		return r.Close()
	}
	f.f = r
	return nil
}

// deleteRotated removes finished files, the oldest first, until it has freed so many bytes. What can't be removed, on a
// read-only mount, stays.
func (t *tailer) deleteRotated(free int64, streams ...*stream) {
	type candidate struct {
		entry
		s *stream
	}
	var all []candidate
	for _, s := range streams {
		for _, e := range s.entries {
			f := s.find(identityOf(e.info))
			if f != nil && f.f == nil && !f.old && !f.copied && f.listed == e.listed && f.offset == e.info.Size() && t.finished(s, f) {
				all = append(all, candidate{e, s})
			}
		}
	}
	slices.SortFunc(all, func(a, b candidate) int { return a.info.ModTime().Compare(b.info.ModTime()) })
	for _, c := range all {
		if free <= 0 {
			return
		}
		where := path.Join(c.s.dir, c.listed)
		now, err := os.Lstat(where)
		if err != nil || !os.SameFile(now, c.info) || now.Size() != c.info.Size() {
			continue
		}
		err = os.Remove(where)
		t.warn(where, err)
		if err == nil {
			free -= c.info.Size()
			t.stats.Deleted.Add(1)
		}
	}
}
