package tail

import (
	"bytes"
	"errors"
	"io"
	"path"
	"slices"
	"time"
)

// turnReads bounds how long one file keeps the others waiting, in reads of the whole buffer.
const turnReads = 4

// errNotNext says that another generation must be read before a file.
var errNotNext = errors.New("not the next to read")

// turn reads and writes what is new in a file and reports whether there may be more. Its error is errTruncated, errNotNext,
// or stdout's.
func (t *tailer) turn(s *stream, f *file, end ending) (more bool, err error) {
	where := path.Join(s.dir, f.name)
	defer func() { f.flying = mark{} }()
	for range turnReads {
		data, eof, err := f.read(t.buf)
		if errors.Is(err, errTruncated) {
			return false, err
		}
		if err == nil && f.offset == 0 && t.hasOlder(s, f, data) {
			return true, errNotNext
		}
		if err == nil && f.offset == 0 && len(data) > 0 && data[0] == 0 {
			if !f.skipHole(t.buf) {
				f.end = 0
				return false, nil
			}
			data, eof, err = f.read(t.buf)
		}
		t.warn(where, err)
		if err != nil {
			return false, nil
		}
		how := open
		if eof {
			how = t.ending(f, f.offset+int64(len(data)), end)
		}
		full := len(data) == len(t.buf)-f.mark.Len
		n, err := t.emit(f, data, how, full)
		if err != nil {
			return false, err
		}
		if n == 0 && full {
			return t.longLine(f, where, end)
		}
		if n > 0 {
			f.advance(t.buf, n)
			t.progressed()
		}
		if eof {
			return false, nil
		}
		if n == 0 { // the file grew between two reads
			return true, nil
		}
	}
	return true, nil
}

// hasOlder looks for generations that must come before the first data of f. Without a mark nobody could tell otherwise that
// f was copied and truncated since the last look; its copy was there before the data, and begins otherwise.
func (t *tailer) hasOlder(s *stream, f *file, data []byte) (older bool) {
	f.flying = markOf(data[:min(len(data), markSize)])
	known := slices.Clone(s.files)
	for tries := 0; len(data) > 0 && tries < 100 && t.scan(s); tries++ { // as in truncated
	}
	for _, g := range s.files[:slices.Index(s.files, f)] {
		if g.copyOf == f {
			copied := beginning(g.f) // before what may grow
			if !bytes.HasPrefix(beginning(f.f), copied) {
				g.copyOf, older = nil, true
			}
		}
		older = older || g.copyOf != f && !slices.Contains(known, g)
	}
	return older
}

// emit writes the records at the beginning of data, several in one write, and returns how long they are.
func (t *tailer) emit(f *file, data []byte, how ending, full bool) (n int, err error) {
	for {
		l := t.stdout.packMany(data[n:])
		if l == 0 {
			l = t.pack(f, data[n:], how, full && n == 0)
		}
		if l == 0 {
			return n, nil
		}
		if err := t.stdout.flush(f, data[n:n+l]); err != nil {
			return n, err
		}
		n += l
	}
}

// pack packs the records at the beginning of data, as many as one write takes, and returns how long they are.
func (t *tailer) pack(f *file, data []byte, how ending, full bool) (n int) {
	for n < len(data) {
		l := recordLen(data[n:], how)
		if l == 0 && n == 0 && full {
			l = recordLen(data, settled) // many continuation lines: what is there of them
		}
		if l == 0 || !t.stdout.pack(f, data[n:n+l]) {
			break
		}
		n += l
	}
	return n
}

// ending returns what a file's present end means: a record there may still grow until a while has passed without change,
// and the last line of a file that the application has left for another won't get its newline any more.
func (t *tailer) ending(f *file, at int64, end ending) ending {
	switch {
	case at != f.end:
		f.end, f.grown = at, time.Now()
		return end
	case time.Since(f.grown) < t.opts.Poll/2: // less than the time to the next look, so that this one decides
		return end
	case f.rotated():
		return final
	default:
		return max(end, settled)
	}
}

// longLine passes a line on that the buffer can't hold, once its end is there. Until then it stays in the file.
func (t *tailer) longLine(f *file, where string, end ending) (more bool, err error) {
	at, found, err := f.lineEnd(t.buf)
	t.warn(where, err)
	if err != nil || !found && t.ending(f, at, end) != final {
		return false, nil
	}
	pos := f.offset
	err = t.stdout.long(f, func() ([]byte, error) {
		n, err := f.f.ReadAt(t.buf[:min(int64(len(t.buf)), at-pos)], pos)
		if err != nil && err != io.EOF {
			return nil, nil // what could be read ends the line; the next read reports the error
		}
		pos += int64(n)
		if n == 0 {
			return nil, nil
		}
		return t.buf[:n], nil
	})
	if err != nil {
		return false, err
	}
	if found {
		pos++
	}
	f.jump(pos)
	t.progressed()
	return true, nil
}

// truncated begins a file anew, after what its copy has in addition if there is one.
func (t *tailer) truncated(s *stream, f *file) {
	t.stats.Truncations.Add(1)
	s.stats.Truncations.Add(1)
	t.log.Info("log file was truncated", "path", path.Join(s.dir, f.name), "offset", f.offset)
	for range 100 { // the copy may be newer than the last look, and is being renamed again where files are short
		if !t.scan(s) {
			break
		}
	}
	s.release(f)
	s.restart(f)
	t.progressed()
}

// maxRepeat bounds what comes twice after a kill, in bytes and about.
const maxRepeat = 8 << 20

// progressed writes a checkpoint now and then. What is on stdout but not in the checkpoint is repeated after a restart.
func (t *tailer) progressed() {
	t.dirty = true
	if time.Since(t.saved) >= t.opts.Poll || t.stats.Bytes.Load()-t.savedBytes >= maxRepeat {
		t.save()
	}
}
