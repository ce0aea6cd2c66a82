package fix

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// addKey adds a key to a mapping: behind a short entry, best behind what names the thing; else before all others, or
// behind them where a comment belongs to the first.
func (d *draft) addKey(m *yaml.Node, key string, value any) bool {
	if m.Kind != yaml.MappingNode {
		return false
	}
	flow := d.key(key) + ": " + d.flow(value)
	inFlow := m.Style&yaml.FlowStyle != 0
	for _, k := range d.byNames(m) {
		v := m.Content[slices.Index(m.Content, k)+1]
		_, end, ok := d.token(v)
		switch {
		case !ok || v.Line != k.Line:
		case inFlow:
			d.replace(end, end, ", "+flow)
			return true
		default:
			return d.insertLine(v.Line, indented(d.entry(key, value), m.Column-1))
		}
	}
	switch {
	case inFlow:
		return d.addFlow(m, '{', flow, true)
	case len(m.Content) == 0:
		return false
	case d.alone(m.Content[0]):
		return d.insertLine(m.Line-1, indented(d.entry(key, value), m.Column-1))
	}
	return d.insertLine(d.lastLine(m.Content[len(m.Content)-2], m.Column), indented(d.entry(key, value), m.Column-1))
}

// byNames are the keys of a mapping, those that name it first.
func (d *draft) byNames(m *yaml.Node) []*yaml.Node {
	var keys []*yaml.Node
	for _, name := range []string{"image", "name", "app"} {
		if k, _ := entry(m, name); k != nil {
			keys = append(keys, k)
		}
	}
	for i := 0; i < len(m.Content); i += 2 {
		keys = append(keys, m.Content[i])
	}
	return keys
}

// alone says whether a node begins its line, with no comment above that speaks of it.
func (d *draft) alone(n *yaml.Node) bool {
	at, start := d.lineStart(n.Line), d.offset(n)
	if n.Line < 2 || at < 0 || start < 0 || strings.TrimSpace(d.text[at:start]) != "" {
		return false
	}
	above, _, _ := strings.Cut(d.text[d.lineStart(n.Line-1):], "\n")
	return !strings.HasPrefix(strings.TrimSpace(above), "#")
}

// lastLine is the last line of a block that begins at a node, whose column is that of its siblings: lines that are
// further in belong to it, and so do the items of a list that is its value.
func (d *draft) lastLine(n *yaml.Node, column int) int {
	last := n.Line
	for line := last + 1; ; line++ {
		at := d.lineStart(line)
		if at < 0 || at == len(d.text) {
			return last
		}
		text, _, _ := strings.Cut(d.text[at:], "\n")
		text = strings.TrimRight(text, " \r")
		inner := strings.TrimLeft(text, " ")
		switch indent := len(text) - len(inner); {
		case inner == "":
		case indent >= column, indent == column-1 && n.Kind == yaml.ScalarNode && (inner == "-" || strings.HasPrefix(inner, "- ")):
			last = line
		default:
			return last
		}
	}
}

// key is a key as it is written here.
func (d *draft) key(key string) string { return d.quote(key, plain, yaml.FlowStyle) }

// entry is a key with its value, as lines of a block.
func (d *draft) entry(key string, value any) string {
	switch value := value.(type) {
	case map[string]any:
		if len(value) > 0 {
			return d.key(key) + ":\n" + indented(d.block(value), 2)
		}
	case []any:
		if len(value) > 0 {
			return d.key(key) + ":\n" + indented(d.block(value), d.indent)
		}
	}
	return d.key(key) + ": " + d.flow(value)
}

// block is a value as lines of its own.
func (d *draft) block(value any) string {
	var lines []string
	switch value := value.(type) {
	case map[string]any:
		for _, key := range keysOf(value) {
			lines = append(lines, d.entry(key, value[key]))
		}
	case []any:
		for _, item := range value {
			lines = append(lines, "- "+strings.TrimPrefix(indented(d.block(item), 2), "  "))
		}
	default:
		return d.flow(value)
	}
	return strings.Join(lines, "\n")
}

// flow is a value on one line.
func (d *draft) flow(value any) string {
	var parts []string
	switch value := value.(type) {
	case map[string]any:
		for _, key := range keysOf(value) {
			parts = append(parts, d.key(key)+": "+d.flow(value[key]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case []any:
		for _, item := range value {
			parts = append(parts, d.flow(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case string:
		return d.quote(value, plain, yaml.FlowStyle)
	}
	return fmt.Sprint(value)
}

// keysOf are the keys of a mapping in the order in which people write them.
func keysOf(m map[string]any) []string {
	keys := slices.Sorted(maps.Keys(m))
	if i := slices.Index(keys, "name"); i > 0 {
		keys = slices.Insert(slices.Delete(keys, i, i+1), 0, "name")
	}
	return keys
}

func indented(text string, indent int) string {
	prefix := strings.Repeat(" ", indent)
	return prefix + strings.ReplaceAll(text, "\n", "\n"+prefix)
}

// addItem adds an item to a list, before all others or behind them.
func (d *draft) addItem(list *yaml.Node, i int, value any) bool {
	switch {
	case list.Kind != yaml.SequenceNode || i != 0 && i != len(list.Content):
		return false
	case list.Style&yaml.FlowStyle != 0:
		return d.addFlow(list, '[', d.flow(value), i == 0)
	case len(list.Content) == 0:
		return false
	}
	item := d.block([]any{value})
	if list.Content[0].Style&yaml.FlowStyle != 0 { // as its neighbours
		item = "- " + d.flow(value)
	}
	if i == 0 { // below the key: comments stay with what they stand above
		return d.dashed(list) && d.insertLine(d.keyLine(list), indented(item, list.Column-1))
	}
	return d.insertLine(d.lastLine(list.Content[i-1], list.Column), indented(item, list.Column-1))
}

// dashed says whether the first item of a list has a line of its own.
func (d *draft) dashed(list *yaml.Node) bool {
	at := d.lineStart(list.Line)
	return at >= 0 && strings.HasPrefix(strings.TrimLeft(d.text[at:], " "), "-")
}

// keyLine is the line above a list and its comments.
func (d *draft) keyLine(list *yaml.Node) int {
	line := list.Line - 1
	for ; line > 1; line-- {
		above, _, _ := strings.Cut(d.text[d.lineStart(line):], "\n")
		if above = strings.TrimSpace(above); above != "" && !strings.HasPrefix(above, "#") {
			break
		}
	}
	return line
}

// addFlow adds an element to a list or mapping on one line: at its beginning or its end.
func (d *draft) addFlow(n *yaml.Node, open byte, element string, first bool) bool {
	start := d.offset(n)
	if start < 0 || d.text[start] != open {
		return false
	}
	end := d.closing(start)
	if end < 0 {
		return false
	}
	if empty := strings.TrimSpace(d.text[start+1:end]) == ""; empty {
		d.replace(start+1, end, element)
		return true
	}
	if first {
		separator := ", "
		if strings.HasPrefix(d.text[start+1:], "\n") {
			separator = ","
		}
		d.replace(start+1, start+1, element+separator)
		return true
	}
	behind := start + 1 + len(strings.TrimRight(d.text[start+1:end], " \r\n"))
	d.replace(behind, behind, ", "+element)
	return true
}

// closing is where the bracket at an offset is closed; -1 if it is not. Comments in between are not understood.
func (d *draft) closing(start int) int {
	depth, quote := 0, byte(0)
	for i := start; i < len(d.text); i++ {
		switch c := d.text[i]; {
		case quote == '"' && c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case (c == '"' || c == '\'') && strings.ContainsRune(" [{,:", rune(d.text[i-1])):
			quote = c
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}
