package tail

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// An ending says how far the end of the data at hand can be trusted to be the end of a record.
type ending int

const (
	open    ending = iota // more may follow: a record ends where the next one begins
	settled               // nothing followed for a while: a newline ends the last record
	final                 // nothing will follow: the last line ends even without a newline
)

// recordLen returns the length of the first record of data, its newline included, or 0 if data doesn't hold its end yet.
// A record is a line with the continuation lines that follow it.
func recordLen(data []byte, end ending) int {
	n := bytes.IndexByte(data, '\n') + 1
	if n == 0 {
		if end == final {
			return len(data)
		}
		return 0
	}
	for t := traceOf(data); ; {
		rest := data[n:]
		then, is, sure := t.continues(rest)
		if !sure && end == open {
			return 0
		}
		if !is {
			return n
		}
		t = then
		line := bytes.IndexByte(rest, '\n') + 1
		switch {
		case line > 0:
			n += line
		case end == open:
			return 0
		case end == settled:
			return n
		default:
			return len(data)
		}
	}
}

// wholeRecords returns the length of as many whole records of data as fit into max bytes, at least about: it looks for an end
// that is one whatever stands before it. 0 says that there is none close to max. It spares a look at every line.
func wholeRecords(data []byte, max int) int {
	if len(data) <= max {
		return 0
	}
	n := max
	for range 100 {
		n = bytes.LastIndexByte(data[:n], '\n') + 1
		if n == 0 || ends(data[n:]) {
			return n
		}
		n--
	}
	return 0
}

// ends reports whether line begins a record whatever stands before it.
func ends(line []byte) bool {
	for t := alone; t <= goexit; t++ {
		if _, is, sure := t.continues(line); is || !sure {
			return false
		}
	}
	return true
}

// envelopePrefix is the part of an envelope line that is the same for all records of a file.
func envelopePrefix(file, container string) []byte {
	b := []byte(`{"file":"`)
	b, _ = appendEscaped(b, []byte(file), true)
	b = append(b, `","container":"`...)
	b, _ = appendEscaped(b, []byte(container), true)
	return append(b, `","log":"`...)
}

const (
	envelopeSuffix = "\"}\n"
	hexDigits      = "0123456789abcdef"
)

// plain returns how many bytes at the beginning of src need no escape and are ASCII, eight at a time, or fewer.
func plain(src []byte) (n int) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; len(src) >= 8; n, src = n+8, src[8:] {
		x := binary.LittleEndian.Uint64(src)
		quote, backslash := x^ones*'"', x^ones*'\\'
		special := (x-ones*' ')&^x | (quote-ones)&^quote | (backslash-ones)&^backslash | x
		if special &= tops; special != 0 {
			return n + bits.TrailingZeros64(special)/8
		}
	}
	return n
}

// appendEscaped appends src to dst as the inside of a JSON string, with U+FFFD for every byte that isn't UTF-8.
// Unless last is set, src may end inside a character: those bytes are returned, to be put before the next piece.
func appendEscaped(dst, src []byte, last bool) (escaped, rest []byte) {
	start := 0 // src[start:i] needs no escape
	for i := 0; i < len(src); {
		if i += plain(src[i:]); i == len(src) {
			break
		}
		c := src[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(src[i:])
			if r == utf8.RuneError && size == 1 {
				if !last && !utf8.FullRune(src[i:]) {
					return append(dst, src[start:i]...), src[i:]
				}
				dst = append(append(dst, src[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, src[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(dst, src[start:]...), nil
}
