package tail

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// A sink turns records into writes to stdout. It lets go of mu while it writes: a stdout that blocks must not keep
// new generations of the files from being opened before they are rotated away.
type sink struct {
	w        io.Writer
	mu       *sync.Mutex
	envelope bool
	stats    *Stats
	packed   []byte // what the next write takes; where there are no envelopes, a part of what was read
	buf      []byte // of envelopes
}

// maxPacked is how much goes into one write unless a record alone is longer: what a pipe takes at once.
const maxPacked = 64 << 10

// pack adds a record to the next write and reports whether there was room. Until that write, records must come as they
// follow each other in memory.
func (s *sink) pack(f *file, rec []byte) bool {
	before := len(s.packed)
	switch {
	case s.envelope:
		if before == 0 {
			s.packed = s.buf[:0]
		}
		s.packed = append(s.packed, f.prefix...)
		s.packed, _ = appendEscaped(s.packed, bytes.TrimSuffix(rec, newline), true)
		s.packed = append(s.packed, envelopeSuffix...)
		s.buf = s.packed
		if before > 0 && len(s.packed) > maxPacked {
			s.packed = s.packed[:before]
			return false
		}
		return true
	case before > 0 && before+len(rec) > maxPacked:
		return false
	case before > 0:
		s.packed = s.packed[:before+len(rec)]
	default:
		s.packed = rec
	}
	if !bytes.HasSuffix(rec, newline) { // nothing follows
		s.packed = append(s.packed, '\n')
	}
	return true
}

// packMany packs records without a look at each where there is enough for one write, and returns how long they are.
func (s *sink) packMany(data []byte) (n int) {
	if s.envelope {
		return 0
	}
	n = wholeRecords(data, maxPacked)
	s.packed = data[:n]
	return n
}

// flush writes what is packed, which is text as it stands in the file.
func (s *sink) flush(f *file, text []byte) error {
	out := s.packed
	s.packed = nil
	lines := bytes.Count(text, newline)
	if !bytes.HasSuffix(text, newline) {
		lines++
	}
	s.count(f, lines, len(text))
	return s.write(out)
}

func (s *sink) count(f *file, lines, bytes int) {
	for _, c := range []*Counters{&s.stats.Counters, f.stats} {
		c.Lines.Add(int64(lines))
		c.Bytes.Add(int64(bytes))
	}
}

// long writes a line that is too long for one buffer, piece by piece: next returns its pieces and then nil.
func (s *sink) long(f *file, next func() ([]byte, error)) error {
	if s.envelope {
		if err := s.write(f.prefix); err != nil {
			return err
		}
	}
	var cut []byte // a character that the end of a piece cut in two
	for {
		piece, err := next()
		if err != nil {
			return err
		}
		s.count(f, 0, len(piece))
		last := piece == nil
		if s.envelope {
			piece = append(cut, piece...)
			s.buf, piece = appendEscaped(s.buf[:0], piece, last)
			cut, piece = bytes.Clone(piece), s.buf
		}
		if err := s.write(piece); err != nil {
			return err
		}
		if last {
			break
		}
	}
	s.count(f, 1, 0)
	if s.envelope {
		return s.write([]byte(envelopeSuffix))
	}
	return s.write(newline)
}

func (s *sink) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	s.mu.Unlock()
	_, err := s.w.Write(b)
	s.mu.Lock()
	if err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	return nil
}

var newline = []byte{'\n'}
