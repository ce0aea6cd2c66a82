package merge

import (
	"bufio"
	"bytes"
	"io"
	"slices"
	"strings"
)

// union is the families of all expositions, each name once, in the order of their first samples.
type union struct {
	out      style
	families []*merged
	byName   map[string]*merged
}

// merged is a family with the samples of several expositions.
type merged struct {
	name  string
	kind  kind
	parts []part
	split bool // served as untyped families, one per name of samples
}

type part struct {
	from   *unpacker
	family *family
	folded bool // it was a family of its own, see fold
}

func unite(out style, expositions []*exposition) *union {
	u := &union{out: out, byName: map[string]*merged{}}
	for _, e := range expositions {
		from := &unpacker{e: e}
		for _, f := range e.families {
			m := u.byName[f.name]
			if m == nil {
				m = &merged{name: f.name, kind: f.kind}
				u.byName[f.name] = m
				u.families = append(u.families, m)
			}
			m.parts = append(m.parts, part{from: from, family: f})
		}
	}
	u.fold()
	u.resolve()
	return u
}

// fold makes gauges that tell when a counter, histogram or summary was created a part of it, as they are in OpenMetrics.
// The text format has them beside it.
func (u *union) fold() {
	u.families = slices.DeleteFunc(u.families, func(m *merged) bool {
		base := u.byName[strings.TrimSuffix(m.name, "_created")]
		if base == nil || base == m || !slices.Contains(base.kind.suffixes(u.out.format), "_created") {
			return false
		}
		for _, p := range m.parts {
			if k := p.family.kind; k != gauge && k != untyped || p.family.loose {
				return false
			}
		}
		for _, p := range m.parts {
			base.parts = append(base.parts, part{p.from, p.family, true})
		}
		delete(u.byName, m.name)
		return true
	})
}

// resolve finds the families that can't be served under one type: their targets disagree on it, or a name that the type
// claims, as a histogram does with its _count, is also that of another family. Half of the samples would be read as what
// they are not, or all of them would be refused. So those families are split into untyped ones, which loses nothing.
func (u *union) resolve() {
	claims := map[string][]*merged{}
	for _, m := range u.families {
		for _, s := range m.kind.suffixes(u.out.format) {
			claims[m.name+s] = append(claims[m.name+s], m)
		}
	}
	var split func(m *merged)
	split = func(m *merged) {
		if m.split {
			return
		}
		m.split = true
		for _, p := range m.parts {
			for _, name := range p.family.samples {
				for _, other := range claims[name] {
					split(other)
				}
				if other := u.byName[name]; other != nil {
					split(other)
				}
			}
		}
	}
	for _, m := range u.families {
		for _, p := range m.parts {
			if !p.folded && p.family.kind != m.kind || p.family.loose {
				split(m)
			}
		}
		for _, other := range claims[m.name] {
			split(other)
			split(m)
		}
	}
}

// conflicts counts the families that lost their type.
func (u *union) conflicts() (n int) {
	for _, m := range u.families {
		if m.split && m.kind != untyped {
			n++
		}
	}
	return n
}

func (u *union) write(to io.Writer) error {
	w := bufio.NewWriterSize(to, 32<<10)
	parts := u.splitParts()
	for _, m := range u.families {
		if !m.split {
			if err := u.writeFamily(w, m.name, m.kind, m.parts, false); err != nil {
				return err
			}
			continue
		}
		for _, p := range m.parts {
			for _, name := range p.family.samples {
				if err := u.writeFamily(w, name, untyped, parts[name], true); err != nil {
					return err
				}
				delete(parts, name)
			}
		}
	}
	if u.out.format == openMetrics {
		if _, err := w.WriteString("# EOF\n"); err != nil {
			return err
		}
	}
	return w.Flush()
}

// splitParts are the parts that have samples of a name, for the names in families that are split.
func (u *union) splitParts() map[string][]part {
	parts := map[string][]part{}
	for _, m := range u.families {
		if !m.split {
			continue
		}
		for _, p := range m.parts {
			for _, name := range p.family.samples {
				parts[name] = append(parts[name], p)
			}
		}
	}
	return parts
}

// writeFamily writes the samples of the parts, if some then those of that name only.
func (u *union) writeFamily(w *bufio.Writer, name string, k kind, parts []part, some bool) error {
	if len(parts) == 0 {
		return nil // another family wrote them
	}
	if _, err := w.Write(u.header(name, k, parts)); err != nil {
		return err
	}
	for _, p := range parts {
		for _, s := range p.family.spans {
			lines, err := p.from.bytes(s)
			if err == nil && some {
				err = writeSome(w, lines, name)
			} else if err == nil {
				_, err = w.Write(lines)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (u *union) header(name string, k kind, parts []part) []byte {
	shown := []byte(name)
	if !isPlain(name, true) {
		shown = appendQuoted(nil, name)
	}
	var out []byte
	add := func(keyword string) {
		out = append(append(append(append(out, "# "...), keyword...), ' '), shown...)
		out = append(out, ' ')
	}
	if i := slices.IndexFunc(parts, func(p part) bool { return p.family.meta.help != "" }); i >= 0 {
		add("HELP")
		out = append(appendEscaped(out, parts[i].family.meta.help, u.out.format == openMetrics), '\n')
	}
	add("TYPE")
	out = append(append(out, k.word(u.out.format)...), '\n')
	for _, p := range parts {
		// A unit that isn't in the name makes all of OpenMetrics invalid.
		if unit := p.family.meta.unit; u.out.format == openMetrics && isPlain(unit, true) && strings.HasSuffix(name, "_"+unit) {
			add("UNIT")
			return append(append(out, unit...), '\n')
		}
	}
	return out
}

// writeSome writes the lines whose name it is, without exemplars, which untyped families have none.
func writeSome(w *bufio.Writer, lines []byte, name string) error {
	begin := append([]byte(name), '{')
	if !isPlain(name, true) {
		begin = appendQuoted([]byte("{"), name)
	}
	for line := range bytes.Lines(lines) {
		if !bytes.HasPrefix(line, begin) {
			continue
		}
		if end := exemplarAt(line); end < len(line) {
			line = append(slices.Clone(line[:end]), '\n')
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// exemplarAt finds where the exemplar of a line begins, or the line's end.
func exemplarAt(line []byte) int {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch b := line[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case !quoted && b == '#': // in a name it would be quoted
			return i - 1
		}
	}
	return len(line)
}
