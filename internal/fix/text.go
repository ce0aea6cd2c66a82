package fix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// edit makes the change in a document's text. Whoever calls it reads the result again: a text that is written in a way
// that is not foreseen here comes out wrong, and is not used.
func edit(text []byte, root *yaml.Node, c change) ([]byte, bool) {
	if root == nil {
		return nil, false
	}
	path := c.path
	if c.kind != set {
		path = path[:len(path)-1]
	}
	node := find(root, path)
	if node == nil {
		return nil, false
	}
	d := draft{text: string(text), json: bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")), indent: indentsLists(root)}
	ok := false
	switch c.kind {
	case set:
		ok = d.set(node, c.value)
	case drop:
		i, _ := c.path[len(path)].(int)
		ok = node.Kind == yaml.SequenceNode && i < len(node.Content) && d.drop(node, i)
	case addKey:
		key, _ := c.path[len(path)].(string)
		ok = d.addKey(node, key, c.value)
	case addItem:
		i, _ := c.path[len(path)].(int)
		ok = d.addItem(node, i, c.value)
	}
	return []byte(d.text), ok
}

// find follows keys and indices. What stands behind an alias stands elsewhere, too, and is not found.
func find(node *yaml.Node, path []any) *yaml.Node {
	for _, step := range path {
		switch key := step.(type) {
		case string:
			_, node = entry(node, key)
		case int:
			if node.Kind != yaml.SequenceNode || key >= len(node.Content) {
				return nil
			}
			node = node.Content[key]
		}
		if node == nil {
			return nil
		}
	}
	return node
}

func entry(node *yaml.Node, name string) (key, value *yaml.Node) {
	for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i], node.Content[i+1]
		}
	}
	return nil, nil
}

// indentsLists is how far the items of lists stand in behind their keys here, if they do.
func indentsLists(node *yaml.Node) int {
	for i, child := range node.Content {
		if node.Kind == yaml.MappingNode && i%2 == 1 && child.Kind == yaml.SequenceNode && child.Style&yaml.FlowStyle == 0 {
			return max(child.Column-node.Content[i-1].Column, 0)
		}
		if indent := indentsLists(child); indent > 0 {
			return indent
		}
	}
	return 0
}

// draft is a document's text under change.
type draft struct {
	text   string
	json   bool
	indent int // of a list's items behind their key
}

// plain is the style of a scalar without quotes.
const plain = yaml.Style(0)

// lineStart is the offset of a line, which counts from 1; -1 if there is none.
func (d *draft) lineStart(line int) int {
	at := 0
	for ; line > 1; line-- {
		i := strings.IndexByte(d.text[at:], '\n')
		if i < 0 {
			return -1
		}
		at += i + 1
	}
	return at
}

// offset is where a node begins; -1 if it is not there.
func (d *draft) offset(n *yaml.Node) int {
	at := d.lineStart(n.Line)
	if at < 0 {
		return -1
	}
	column := 1
	for i := range d.text[at:] {
		if column == n.Column {
			return at + i
		}
		column++
	}
	return -1
}

// token is where a scalar on one line stands, quotes included.
func (d *draft) token(n *yaml.Node) (start, end int, ok bool) {
	start = d.offset(n)
	if n.Kind != yaml.ScalarNode || start < 0 {
		return 0, 0, false
	}
	rest := d.text[start:]
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		for i := 1; i < len(rest); i++ {
			switch rest[i] {
			case '\\':
				i++
			case '"':
				return start, start + i + 1, rest[0] == '"'
			case '\n':
				return 0, 0, false
			}
		}
	case n.Style&yaml.SingleQuotedStyle != 0:
		for i := 1; i < len(rest); i++ {
			switch {
			case strings.HasPrefix(rest[i:], "''"):
				i++
			case rest[i] == '\'':
				return start, start + i + 1, rest[0] == '\''
			case rest[i] == '\n':
				return 0, 0, false
			}
		}
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0:
		return start, start + len(n.Value), n.Value != "" && strings.HasPrefix(rest, n.Value)
	}
	return 0, 0, false
}

func (d *draft) replace(start, end int, text string) {
	d.text = d.text[:start] + text + d.text[end:]
}

// insertLine puts a line behind another one.
func (d *draft) insertLine(line int, text string) bool {
	at := d.lineStart(line)
	if at < 0 {
		return false
	}
	newline := "\n"
	if end := strings.IndexByte(d.text[at:], '\n'); end < 0 {
		d.text += "\n"
		at = len(d.text)
	} else {
		if strings.HasSuffix(d.text[:at+end], "\r") {
			newline = "\r\n"
		}
		at += end + 1
	}
	d.replace(at, at, strings.ReplaceAll(text, "\n", newline)+newline)
	return true
}

// quote writes a string in the style of the one that it replaces, inside of a list or mapping of the outer style.
func (d *draft) quote(text string, style, outer yaml.Style) string {
	if style&yaml.SingleQuotedStyle != 0 && !strings.ContainsAny(text, "\n") {
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	node := yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	if written, err := yaml.Marshal(&node); err == nil && style == plain && !d.json {
		word := strings.TrimSuffix(string(written), "\n")
		if !strings.Contains(word, "\n") && (outer&yaml.FlowStyle == 0 || !strings.ContainsAny(word, ",[]{}")) {
			return word
		}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // of a string, into memory
	return strings.TrimSuffix(b.String(), "\n")
}

// set replaces a scalar.
func (d *draft) set(n *yaml.Node, value any) bool {
	text, isText := value.(string)
	if isText && n.Style&yaml.LiteralStyle != 0 {
		return d.setLiteral(n, text)
	}
	start, end, ok := d.token(n)
	if !ok {
		return false
	}
	if isText {
		d.replace(start, end, d.quote(text, n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle), yaml.FlowStyle))
	} else {
		d.replace(start, end, fmt.Sprint(value))
	}
	return true
}

// setLiteral changes those lines of a block that differ.
func (d *draft) setLiteral(n *yaml.Node, text string) bool {
	before, after := strings.Split(n.Value, "\n"), strings.Split(text, "\n")
	if len(before) != len(after) {
		return false
	}
	for i := range before {
		if before[i] == after[i] {
			continue
		}
		start := d.lineStart(n.Line + 1 + i)
		if start < 0 {
			return false
		}
		line, _, _ := strings.Cut(d.text[start:], "\n")
		indent, ok := strings.CutSuffix(strings.TrimSuffix(line, "\r"), before[i])
		if !ok || strings.TrimSpace(indent) != "" {
			return false
		}
		d.replace(start+len(indent), start+len(indent)+len(before[i]), after[i])
	}
	return true
}

// drop takes a string out of a list.
func (d *draft) drop(list *yaml.Node, i int) bool {
	start, end, ok := d.token(list.Content[i])
	if !ok {
		return false
	}
	if list.Style&yaml.FlowStyle == 0 { // an item has its line
		from := d.lineStart(list.Content[i].Line)
		rest, _, found := strings.Cut(d.text[end:], "\n")
		if strings.TrimSpace(d.text[from:start]) != "-" || !found || strings.TrimSpace(rest) != "" && !strings.HasPrefix(strings.TrimSpace(rest), "#") {
			return false
		}
		d.replace(from, end+len(rest)+1, "")
		return true
	}
	switch {
	case i > 0:
		_, before, found := d.token(list.Content[i-1])
		start, ok = before, found
	case len(list.Content) > 1:
		after := d.offset(list.Content[1])
		end, ok = after, after >= 0
	}
	if ok {
		d.replace(start, end, "")
	}
	return ok
}

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
