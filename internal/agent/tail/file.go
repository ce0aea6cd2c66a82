package tail

import (
	"bytes"
	"errors"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// identity is a file's place on the disk. It outlives a rename; after a removal another file may get it, which the marks tell.
type identity struct {
	Dev uint64 `json:"dev"`
	Ino uint64 `json:"ino"`
}

func identityOf(info fs.FileInfo) identity {
	st := info.Sys().(*syscall.Stat_t)
	return identity{Dev: uint64(st.Dev), Ino: st.Ino}
}

// A mark is the fingerprint of a few bytes at a known place of a file: its first ones, or those that end at an offset.
type mark struct {
	Len int    `json:"len"`
	Sum uint64 `json:"sum"`
}

const markSize = 256

func markOf(b []byte) mark {
	if len(b) == 0 {
		return mark{}
	}
	h := fnv.New64a()
	h.Write(b)
	return mark{Len: len(b), Sum: h.Sum64()}
}

// fits reports whether m can be the mark of a file read up to offset.
func (m mark) fits(offset int64) bool {
	return m.Len >= 0 && m.Len <= markSize && int64(m.Len) <= offset && (m.Len > 0 || offset == 0)
}

// markBefore returns the mark of the bytes that end at offset.
func markBefore(r io.ReaderAt, offset int64) mark {
	b := make([]byte, min(offset, markSize))
	r.ReadAt(b, offset-int64(len(b))) // where the file has shrunk, the mark won't match, which is right
	return markOf(b)
}

// at reports whether r holds the marked bytes from offset on.
func (m mark) at(r io.ReaderAt, offset int64) bool {
	b := make([]byte, m.Len)
	n, _ := r.ReadAt(b, offset)
	return n == m.Len && markOf(b) == m
}

// A file is one generation of a log: one inode, and how far it was read.
type file struct {
	identity
	name   string // the log's name in its directory; generations share it and are read one after the other
	listed string // the file's own name now: app.log.1 after a rename, "" after a removal
	prefix []byte // begins the envelope of its records
	stats  *Counters

	f      *os.File // nil while there is nothing to read
	offset int64    // everything before it was written to stdout
	head   mark     // of the first bytes
	flying mark     // of the first bytes while they are written and the offset is still 0
	mark   mark     // of the bytes before offset

	end      int64     // the size, when the end was last seen
	grown    time.Time // when end last moved
	searched int64     // up to here there is no newline after offset

	restored bool      // from a checkpoint, not seen since
	old      bool      // rotated before the pod started: not ours to stream or delete
	copyOf   *file     // made by copytruncate: nothing to read until the original is truncated
	copied   bool      // made by copytruncate: never ours to delete
	mtime    time.Time // when it was closed
}

// rotated reports whether the application has begun another file in the place of this one, or removed it.
func (f *file) rotated() bool { return f.listed != f.name }

// begin returns the mark of the first bytes: those that were read, or else those that are there now.
func (f *file) begin() mark {
	switch {
	case f.offset > 0:
		return f.head
	case f.flying.Len > 0 || f.f == nil:
		return f.flying
	}
	return markOf(beginning(f.f))
}

// beginning returns the first bytes of a file.
func beginning(r io.ReaderAt) []byte {
	b := make([]byte, markSize)
	n, _ := r.ReadAt(b, 0)
	return b[:n]
}

var errTruncated = errors.New("truncated")

// read fills buf from the file's offset on. In the same call it reads the marked bytes before the offset again:
// had the file been truncated, or written anew, they would not be the same, however large it has become since.
func (f *file) read(buf []byte) (data []byte, eof bool, err error) {
	n, err := f.f.ReadAt(buf, f.offset-int64(f.mark.Len))
	if err != nil && err != io.EOF {
		return nil, false, err
	}
	if n < f.mark.Len || markOf(buf[:f.mark.Len]) != f.mark {
		return nil, false, errTruncated
	}
	return buf[f.mark.Len:n], err == io.EOF, nil
}

// advance moves the offset over n bytes of what read returned, which is now on stdout. buf is what read was given.
func (f *file) advance(buf []byte, n int) {
	end := f.mark.Len + n
	seen := buf[:end]
	if f.offset == int64(f.mark.Len) { // seen begins where the file does
		f.head = markOf(seen[:min(end, markSize)])
	}
	f.offset += int64(n)
	f.mark = markOf(seen[max(0, end-markSize):])
}

// jump moves the offset to one whose bytes before it were not just read.
func (f *file) jump(offset int64) {
	f.offset = offset
	f.mark = markBefore(f.f, offset)
	f.head = markBefore(f.f, min(offset, markSize))
}

// reset begins the file anew after a truncation.
func (f *file) reset() {
	f.offset, f.head, f.mark, f.end, f.searched = 0, mark{}, mark{}, 0, 0
	f.restored, f.old, f.copied = false, false, false
	f.grown = time.Now()
}

// skipHole moves the offset over a hole at the beginning of the file, and the zeros of its last page. A writer that keeps
// its own position (opened without O_APPEND) leaves a hole as long as the old file when it writes after a copytruncate.
// It reports whether there is something to read now.
func (f *file) skipHole(buf []byte) bool {
	hole, err := f.f.Seek(0, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return false // nothing but a hole yet
	}
	if err != nil || hole == 0 {
		return true // zeros that were written, or a file system that doesn't tell
	}
	n, _ := f.f.ReadAt(buf, hole)
	f.jump(hole + int64(n-len(bytes.TrimLeft(buf[:n], "\x00"))))
	return true
}

// lineEnd looks for the end of a line that begins at the offset, and returns where it is or, if it isn't there yet, where the file ends.
func (f *file) lineEnd(buf []byte) (at int64, found bool, err error) {
	for at = max(f.offset, f.searched); ; {
		n, err := f.f.ReadAt(buf, at)
		if i := bytes.IndexByte(buf[:n], '\n'); i >= 0 {
			return at + int64(i), true, nil
		}
		at += int64(n)
		f.searched = at
		if err == io.EOF {
			return at, false, nil
		}
		if err != nil {
			return at, false, err
		}
	}
}

func (f *file) close() {
	if info, err := f.f.Stat(); err == nil {
		f.mtime = info.ModTime()
	}
	f.f.Close()
	f.f = nil
}
