package merge

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"twelvefold.dev/internal/metricsmerge"
)

var (
	errTooLarge  = errors.New("it is too large")
	errTruncated = errors.New("it ends before # EOF")
)

// reader turns what a target says into an exposition.
type reader struct {
	in     format
	out    style
	source string // empty: the samples get no label
	metas  map[string]*meta
	places map[string]*place
	sample sample
	line   []byte
	e      *exposition
}

// read reads one answer of a target. The exposition must be released, also after an error.
func read(body io.Reader, in format, out style, source string, s *store) (*exposition, error) {
	r := reader{in: in, out: out, source: source, metas: map[string]*meta{}, places: map[string]*place{},
		e: &exposition{store: s, byName: map[string]*family{}}}
	return r.e, r.all(body)
}

func (r *reader) all(body io.Reader) error {
	lines := bufio.NewReaderSize(body, maxLine)
	ended := false
	for n := 1; ; n++ {
		line, err := lines.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			return fmt.Errorf("line %d: %w", n, errTooLarge)
		} else if err != nil && err != io.EOF {
			return err
		} else if err == io.EOF && len(line) == 0 {
			break
		}
		if err := r.e.take(len(line), 0); err != nil {
			return err
		}
		if line = bytes.TrimSuffix(line, []byte("\n")); ended {
			return fmt.Errorf("line %d: %w", n, malformed("there is more after # EOF"))
		}
		if ended, err = r.one(line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if r.in == openMetrics && !ended {
		return errTruncated
	}
	if err := r.e.seal(); err != nil {
		return err
	}
	r.e.last = nil
	return nil
}

// one reads a line, and reports whether it is the last of OpenMetrics.
func (r *reader) one(line []byte) (end bool, err error) {
	switch c := (cursor{line: line}); {
	case r.in == openMetrics && string(line) == "# EOF":
		return true, nil
	default:
		switch c.blanks(); c.peek() {
		case '#':
			c.at++
			return false, r.comment(&c)
		case 0:
			if c.at == len(line) {
				return false, nil
			}
		}
	}
	if err := r.sample.cut(line, r.in); err != nil {
		return false, err
	}
	return false, r.keep(&r.sample)
}

// comment keeps HELP, TYPE and UNIT. Whatever is wrong with one, the samples are worth more.
func (r *reader) comment(c *cursor) error {
	keyword := string(c.token())
	if keyword != "HELP" && keyword != "TYPE" && keyword != "UNIT" {
		return nil
	}
	c.blanks()
	name, err := c.name(true)
	if err != nil || c.peek() != ' ' && c.peek() != '\t' {
		return nil
	}
	c.blanks()
	rest := string(c.line[c.at:])
	m, err := r.meta(string(name))
	if err != nil {
		return err
	}
	switch keyword {
	case "HELP":
		if m.help == "" {
			m.help = strings.ToValidUTF8(string(unescape([]byte(rest))), "\uFFFD")
			return r.e.take(0, len(m.help))
		}
	case "TYPE":
		if !m.owns {
			m.kind, m.owns = kindOf(strings.TrimRight(rest, " \t"), r.in), true
		}
	case "UNIT":
		if m.unit == "" {
			m.unit = strings.TrimRight(rest, " \t")
			return r.e.take(0, len(m.unit))
		}
	}
	return nil
}

func (r *reader) meta(name string) (*meta, error) {
	if m := r.metas[name]; m != nil {
		return m, nil
	}
	m := &meta{}
	r.metas[name] = m
	return m, r.e.take(0, nameCost+len(name))
}

// owner finds the family that a sample belongs to: the one of its name, or the one whose type allows its suffix.
func (r *reader) owner(name string) (base, suffix string, m *meta, err error) {
	if m := r.metas[name]; m != nil && m.owns {
		return name, "", m, nil
	}
	if at := strings.LastIndexByte(name, '_'); at > 0 {
		base, suffix := name[:at], name[at:]
		if m := r.metas[base]; m != nil && slices.Contains(m.kind.suffixes(r.in), suffix) {
			return base, suffix, m, nil
		}
	}
	if m, err = r.meta(name); err != nil {
		return "", "", nil, err
	}
	m.owns = true
	return name, "", m, nil
}

func (r *reader) place(name []byte) (*place, error) {
	if p := r.places[string(name)]; p != nil {
		return p, nil
	}
	base, suffix, m, err := r.owner(string(name))
	if err != nil {
		return nil, err
	}
	sample, familyName, k := r.out.put(r.in, base, suffix, m.kind)
	f := r.e.byName[familyName]
	if f == nil {
		f = &family{name: familyName, kind: k, meta: m}
		r.e.byName[familyName] = f
		r.e.families = append(r.e.families, f)
	}
	p := &place{family: f, name: sample, suffix: strings.TrimPrefix(sample, familyName)}
	if f.kind != k || p.suffix == "" && !k.exact(r.out.format) {
		f.loose = true
	}
	if !slices.Contains(f.samples, sample) {
		f.samples = append(f.samples, sample)
	}
	p.head, p.open = r.head(sample)
	r.places[string(name)] = p
	return p, r.e.take(0, 2*nameCost+4*len(sample))
}

// head is the beginning of all lines with that name. It is open if no comma need follow.
func (r *reader) head(name string) (head []byte, open bool) {
	open = true
	if isPlain(name, true) {
		head = append(append(head, name...), '{')
	} else {
		head = appendQuoted(append(head, '{'), name)
		open = false
	}
	if r.source == "" {
		return head, open
	}
	if !open {
		head = append(head, ',')
	}
	head = append(head, metricsmerge.SourceLabel+"="...)
	return appendQuoted(head, r.source), false
}

func appendQuoted[T string | []byte](out []byte, s T) []byte {
	return append(appendEscaped(append(out, '"'), s, true), '"')
}

// keep adds the sample to the exposition, as the line that will be served.
func (r *reader) keep(s *sample) error {
	p, err := r.place(s.name)
	if err != nil {
		return err
	}
	if !p.fits(s) {
		p.family.loose = true
	}
	if err := r.rename(s.labels, r.source != ""); err != nil {
		return err
	}
	line := append(r.line[:0], p.head...)
	line = appendLabels(line, s.labels, p.open)
	line = append(append(line, "} "...), s.value...)
	line = appendTime(line, s.time, r.in, r.out.format)
	if e := &s.exemplar; len(e.value) > 0 && r.out.format == openMetrics {
		if err := r.rename(e.labels, false); err != nil {
			return err
		}
		line = appendLabels(append(line, " # {"...), e.labels, true)
		line = append(append(line, "} "...), e.value...)
		line = appendTime(line, e.time, openMetrics, openMetrics)
	}
	r.line = append(line, '\n')
	return r.e.add(p.family, r.line)
}

// fits reports whether a parser that takes the sample for a part of a histogram or summary will find what it needs.
func (p *place) fits(s *sample) bool {
	var need string
	var needed bool
	switch p.family.kind {
	case histogram, gaugeHistogram:
		need, needed = "le", p.suffix == "_bucket"
		if s.number < 0 && (p.suffix == "_bucket" || p.suffix == "_count") {
			return false
		}
	case summary:
		need, needed = "quantile", p.suffix == ""
	default:
		return true
	}
	for _, l := range s.labels {
		if string(l.name) == need {
			var n float64
			return isNumber(l.value, &n)
		}
	}
	return !needed
}

// rename brings the labels' names into the form in which they are served, and moves one out of the way of ours.
func (r *reader) rename(labels []label, sourced bool) error {
	escaped := false
	for i, l := range labels {
		if !isPlain(l.name, false) {
			labels[i].name = []byte(r.out.escape(string(l.name), false))
			escaped = true
		}
	}
	for i, l := range labels {
		if escaped && (hasLabel(labels[:i], l.name) || string(l.name) == "__name__") {
			return malformed("two labels have the same name when it is escaped")
		}
	}
	if !sourced || !hasLabel(labels, metricsmerge.SourceLabel) {
		return nil
	}
	free := "exported_" + metricsmerge.SourceLabel
	for hasLabel(labels, free) {
		free = "exported_" + free
	}
	for i, l := range labels {
		if string(l.name) == metricsmerge.SourceLabel {
			labels[i].name = []byte(free)
		}
	}
	return nil
}

func appendLabels(line []byte, labels []label, first bool) []byte {
	for _, l := range labels {
		if !first {
			line = append(line, ',')
		}
		first = false
		if isPlain(l.name, false) {
			line = append(line, l.name...)
		} else {
			line = appendQuoted(line, l.name)
		}
		line = append(append(line, `="`...), l.value...)
		line = append(line, '"')
	}
	return line
}

func appendTime(line, time []byte, in, out format) []byte {
	if len(time) == 0 {
		return line
	}
	line = append(line, ' ')
	if in == out {
		return append(line, time...)
	}
	ms, _ := milliseconds(time, in) // it has been read once before
	if out == text {
		return strconv.AppendInt(line, ms, 10)
	}
	return fmt.Appendf(line, "%d.%03d", ms/1000, ms%1000)
}
