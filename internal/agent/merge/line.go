package merge

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf8"
)

// malformed says why a line is no line of its format. It holds nothing of the line: labels may hold what no log should.
type malformed string

func (m malformed) Error() string { return string(m) }

// sample is a line, cut into its parts, which live as long as the line.
type sample struct {
	name     []byte
	labels   []label
	value    []byte
	number   float64
	time     []byte // empty where the target tells none
	exemplar exemplar
}

// label holds its name unescaped, and its value as it may stand between quotes.
type label struct{ name, value []byte }

type exemplar struct {
	labels      []label
	value, time []byte // no value: no exemplar
}

// cursor reads a line.
type cursor struct {
	line []byte
	at   int
}

func (c *cursor) peek() byte {
	if c.at < len(c.line) {
		return c.line[c.at]
	}
	return 0 // which is in no token
}

func (c *cursor) blanks() {
	for c.peek() == ' ' || c.peek() == '\t' {
		c.at++
	}
}

// token reads up to a blank or the end.
func (c *cursor) token() []byte {
	c.blanks()
	from := c.at
	for c.at < len(c.line) && c.line[c.at] != ' ' && c.line[c.at] != '\t' {
		c.at++
	}
	return c.line[from:c.at]
}

// bare reads a name without quotes.
func (c *cursor) bare(colons bool) []byte {
	from := c.at
	for isNameByte(c.peek(), c.at > from, colons) {
		c.at++
	}
	return c.line[from:c.at]
}

// name reads a name with or without quotes.
func (c *cursor) name(colons bool) ([]byte, error) {
	if c.peek() != '"' {
		if name := c.bare(colons); len(name) > 0 {
			return name, nil
		}
		return nil, malformed("there is no name where one must be")
	}
	raw, err := c.quoted()
	if err != nil {
		return nil, err
	}
	name := unescape(raw)
	if len(name) == 0 || !utf8.Valid(name) || bytes.IndexByte(name, 0) >= 0 { // Prometheus takes a zero in a name for the end of all
		return nil, malformed("a name in quotes is empty, not UTF-8, or holds a zero")
	}
	return name, nil
}

// quoted reads what is between two quotes, as it is.
func (c *cursor) quoted() ([]byte, error) {
	c.at++
	from := c.at
	for c.at < len(c.line) {
		switch c.line[c.at] {
		case '\\':
			c.at++
		case '"':
			c.at++
			return c.line[from : c.at-1], nil
		}
		c.at++
	}
	return nil, malformed("a quote is not closed")
}

// cut reads the line into s, whose slices it uses again.
func (s *sample) cut(line []byte, in format) error {
	*s = sample{labels: s.labels[:0], exemplar: exemplar{labels: s.exemplar.labels[:0]}}
	c := cursor{line: line}
	c.blanks()
	s.name = c.bare(true)
	c.blanks()
	var err error
	if c.peek() == '{' {
		if s.name, s.labels, err = c.braces(s.name, s.labels); err != nil {
			return err
		}
	}
	if len(s.name) == 0 {
		return malformed("there is no name where one must be")
	}
	if s.value = c.token(); !isNumber(s.value, &s.number) {
		return malformed("the value is not a number")
	}
	c.blanks()
	if c.at < len(line) && (in == text || c.peek() != '#') {
		s.time = c.token()
		if _, ok := milliseconds(s.time, in); !ok {
			return malformed("the timestamp is not one")
		}
		c.blanks()
	}
	if in == openMetrics && c.peek() == '#' {
		c.at++
		if err := s.exemplar.cut(&c); err != nil {
			return err
		}
	}
	if c.at < len(line) {
		return malformed("there is more after the sample")
	}
	return nil
}

func (e *exemplar) cut(c *cursor) error {
	c.blanks()
	if c.peek() != '{' {
		return malformed("the exemplar has no labels")
	}
	name, labels, err := c.braces(nil, e.labels)
	if err != nil {
		return err
	}
	if len(name) > 0 {
		return malformed("the exemplar has a name")
	}
	e.labels = labels
	var number float64
	if e.value = c.token(); !isNumber(e.value, &number) {
		return malformed("the exemplar's value is not a number")
	}
	if e.time = c.token(); len(e.time) > 0 {
		if _, ok := milliseconds(e.time, openMetrics); !ok {
			return malformed("the exemplar's timestamp is not one")
		}
	}
	return nil
}

// braces reads labels, and the name where it stands among them.
func (c *cursor) braces(name []byte, labels []label) ([]byte, []label, error) {
	c.at++
	for {
		c.blanks()
		if c.peek() == '}' {
			c.at++
			return name, labels, nil
		}
		key, err := c.name(false)
		if err != nil {
			return nil, nil, err
		}
		c.blanks()
		if c.peek() == '=' {
			c.at++
			value, err := c.labelValue()
			if err != nil {
				return nil, nil, err
			}
			if string(key) == "__name__" || hasLabel(labels, key) {
				return nil, nil, malformed("a label comes twice, or is called __name__")
			}
			labels = append(labels, label{key, value})
		} else if len(name) > 0 {
			return nil, nil, malformed("there are two names, or a label has no value")
		} else {
			name = key
		}
		c.blanks()
		switch c.peek() {
		case ',':
			c.at++
		case '}', '"':
		default:
			if !isNameByte(c.peek(), false, false) { // else the comma is missing, which Prometheus forgives
				return nil, nil, malformed("a label ends neither with a comma nor with a brace")
			}
		}
	}
}

func (c *cursor) labelValue() ([]byte, error) {
	c.blanks()
	if c.peek() != '"' {
		return nil, malformed("a label's value is not in quotes")
	}
	raw, err := c.quoted()
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(raw) {
		return nil, malformed("a label's value is not UTF-8")
	}
	return reescape(raw), nil
}

func hasLabel[T string | []byte](labels []label, name T) bool {
	for _, l := range labels {
		if string(l.name) == string(name) {
			return true
		}
	}
	return false
}

func isNameByte(b byte, digits, colons bool) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || b == '_' || digits && '0' <= b && b <= '9' || colons && b == ':'
}

// isPlain reports whether the name needs no quotes.
func isPlain[T string | []byte](name T, colons bool) bool {
	for i := range len(name) {
		if !isNameByte(name[i], i > 0, colons) {
			return false
		}
	}
	return len(name) > 0
}

// isNumber knows what both formats take for one. Hexadecimal digits and underscores are Go's alone.
func isNumber(token []byte, number *float64) bool {
	if len(token) == 0 || bytes.ContainsAny(token, "pPxX_") {
		return false
	}
	n, err := strconv.ParseFloat(string(token), 64)
	*number = n
	return err == nil
}

// milliseconds reads a timestamp: whole milliseconds in the text format, seconds in OpenMetrics. One before 1970 makes
// Prometheus refuse all of a scrape.
func milliseconds(token []byte, in format) (int64, bool) {
	if in == text {
		n, err := strconv.ParseInt(string(token), 10, 64)
		return n, err == nil && token[0] != '-' && token[0] != '+'
	}
	var seconds float64
	const most = 1 << 62
	if !isNumber(token, &seconds) || !(0 <= seconds && seconds*1000 < most) {
		return 0, false
	}
	return int64(math.Round(seconds * 1000)), true
}

// reescape makes sure that every backslash begins an escape of the formats. As Prometheus does, it takes any other for
// itself, as in "C:\data".
func reescape(raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if i++; i == len(raw) || !isEscape(raw[i]) {
			return appendEscaped(nil, unescape(raw), true)
		}
	}
	return raw
}

func isEscape(b byte) bool { return b == '\\' || b == 'n' || b == '"' }

func unescape(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] == '\\' && i+1 < len(raw) && isEscape(raw[i+1]) {
			if i++; raw[i] == 'n' {
				out = append(out, '\n')
				continue
			}
		}
		out = append(out, raw[i])
	}
	return out
}

func appendEscaped[T string | []byte](out []byte, s T, quotes bool) []byte {
	for i := range len(s) {
		switch b := s[i]; {
		case b == '\n':
			out = append(out, `\n`...)
		case b == '\\' || b == '"' && quotes:
			out = append(out, '\\', b)
		default:
			out = append(out, b)
		}
	}
	return out
}
