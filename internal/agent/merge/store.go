package merge

import (
	"bytes"
	"compress/flate"
	"io"
	"sync"
)

// limits bound what the targets can make merge do. They hold for all scrapes at a time together.
type limits struct {
	target int64 // bytes of one target's body, unpacked
	all    int64 // bytes of all bodies
	plain  int64 // bytes kept as they are; more is kept compressed
	held   int64 // bytes of memory, with what finds them
}

var defaultLimits = limits{target: 16 << 20, all: 64 << 20, plain: 4 << 20, held: 16 << 20}

const (
	maxLine   = 64 << 10
	blockSize = 64 << 10
	// What finds a line takes memory, too: about so much per family and name, beside its text, and per span.
	nameCost, spanCost = 256, 16
)

// store counts what all expositions hold, and packs blocks for them.
type store struct {
	limits limits
	shares int64 // how many targets share the limits
	mu     sync.Mutex
	read   int64
	held   int64
	packer *flate.Writer // large, so there is one
}

// pack compresses the block if there are plain ones enough.
func (s *store) pack(data []byte) (block, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held <= s.limits.plain {
		return block{data: data, size: len(data)}, nil
	}
	var out bytes.Buffer
	if s.packer == nil {
		w, err := flate.NewWriter(&out, flate.BestSpeed)
		if err != nil {
			return block{}, err
		}
		s.packer = w
	}
	s.packer.Reset(&out)
	if _, err := s.packer.Write(data); err != nil {
		return block{}, err
	}
	if err := s.packer.Close(); err != nil {
		return block{}, err
	}
	return block{data: bytes.Clone(out.Bytes()), size: len(data), packed: true}, nil
}

// exposition is what one target answered, as lines that are ready to be served. It doesn't change once it is complete.
type exposition struct {
	store    *store
	blocks   []block
	last     []byte // becomes a block
	families []*family
	byName   map[string]*family
	samples  int

	read, held int64 // to be given back
}

type block struct {
	data   []byte
	size   int
	packed bool
}

// span is where neighbouring lines of a family are.
type span struct{ block, from, to int32 }

// take counts bytes that were read, and bytes of memory. Over a limit the exposition fails, if it has had more than its
// share: a large target doesn't push out small ones. It counts no more from then on.
func (e *exposition) take(read, held int) error {
	s := e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	e.count(int64(read), int64(held))
	shares := max(s.shares, 1)
	if e.read > s.limits.target || s.read > s.limits.all && e.read > s.limits.all/shares || s.held > s.limits.held && e.held > s.limits.held/shares {
		e.count(-e.read, -e.held)
		return errTooLarge
	}
	return nil
}

func (e *exposition) count(read, held int64) {
	e.read += read
	e.held += held
	e.store.read += read
	e.store.held += held
}

// release gives back what the exposition holds. Nobody may use it afterwards.
func (e *exposition) release() {
	s := e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	e.count(-e.read, -e.held)
	*e = exposition{store: s}
}

func (e *exposition) add(f *family, line []byte) error {
	if len(e.last) > 0 && len(e.last)+len(line) > blockSize {
		if err := e.seal(); err != nil {
			return err
		}
	}
	at, from := int32(len(e.blocks)), int32(len(e.last))
	to := from + int32(len(line))
	e.last = append(e.last, line...)
	e.samples++
	cost := len(line)
	if n := len(f.spans); n > 0 && f.spans[n-1].block == at && f.spans[n-1].to == from {
		f.spans[n-1].to = to
	} else {
		f.spans = append(f.spans, span{at, from, to})
		cost += spanCost
	}
	return e.take(0, cost)
}

// seal ends the last block.
func (e *exposition) seal() error {
	if len(e.last) == 0 {
		return nil
	}
	b, err := e.store.pack(e.last)
	if err != nil {
		return err
	}
	if e.blocks = append(e.blocks, b); b.packed {
		e.last = e.last[:0]
	} else {
		e.last = make([]byte, 0, blockSize)
	}
	return e.take(0, len(b.data)-b.size)
}

// unpacker reads the blocks of an exposition. It keeps one unpacked, for families mostly come in the order of the lines.
type unpacker struct {
	e      *exposition
	at     int32
	data   []byte
	reader io.ReadCloser
}

// bytes returns the lines of a span, until the next call.
func (u *unpacker) bytes(s span) ([]byte, error) {
	b := u.e.blocks[s.block]
	if !b.packed {
		return b.data[s.from:s.to], nil
	}
	if u.data == nil || u.at != s.block {
		in := bytes.NewReader(b.data)
		if u.reader == nil {
			u.reader = flate.NewReader(in)
		} else if err := u.reader.(flate.Resetter).Reset(in, nil); err != nil {
			return nil, err
		}
		if cap(u.data) < b.size {
			u.data = make([]byte, b.size)
		}
		u.data = u.data[:b.size]
		if _, err := io.ReadFull(u.reader, u.data); err != nil {
			return nil, err
		}
		u.at = s.block
	}
	return u.data[s.from:s.to], nil
}
