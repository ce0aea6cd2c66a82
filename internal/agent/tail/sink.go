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
	out      []byte
}

// record writes one record in one write.
func (s *sink) record(f *file, rec []byte) error {
	s.stats.Lines.Add(int64(bytes.Count(rec, newline)))
	if !bytes.HasSuffix(rec, newline) {
		s.stats.Lines.Add(1)
	}
	s.stats.Bytes.Add(int64(len(rec)))
	switch {
	case s.envelope:
		s.out = append(s.out[:0], f.prefix...)
		s.out, _ = appendEscaped(s.out, bytes.TrimSuffix(rec, newline), true)
		s.out = append(s.out, envelopeSuffix...)
		rec = s.out
	case !bytes.HasSuffix(rec, newline):
		s.out = append(append(s.out[:0], rec...), '\n')
		rec = s.out
	}
	return s.write(rec)
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
		s.stats.Bytes.Add(int64(len(piece)))
		last := piece == nil
		if s.envelope {
			piece = append(cut, piece...)
			s.out, piece = appendEscaped(s.out[:0], piece, last)
			cut, piece = bytes.Clone(piece), s.out
		}
		if err := s.write(piece); err != nil {
			return err
		}
		if last {
			break
		}
	}
	s.stats.Lines.Add(1)
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
