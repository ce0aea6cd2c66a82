package fix

import (
	"bytes"
	"encoding/json"
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
	if c.kind == addKey || c.kind == drop {
		path = path[:len(path)-1]
	}
	node := find(root, path)
	if node == nil {
		return nil, false
	}
	d := draft{text: string(text), json: bytes.HasPrefix(bytes.TrimSpace(text), []byte("{"))}
	last := func() any { return c.path[len(c.path)-1] }
	ok := false
	switch c.kind {
	case setText:
		ok = d.setText(node, c.text)
	case drop:
		i, _ := last().(int)
		ok = node.Kind == yaml.SequenceNode && i < len(node.Content) && d.drop(node, i)
	case addKey:
		key, _ := last().(string)
		ok = d.addKey(node, d.quote(key, plain, node.Style), d.quote(c.text, plain, node.Style))
	case addEnv:
		ok = d.addEnv(node, c.env["name"], c.env["value"])
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

// draft is a document's text under change.
type draft struct {
	text string
	json bool
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

func (d *draft) setText(n *yaml.Node, text string) bool {
	if n.Style&yaml.LiteralStyle != 0 {
		return d.setLiteral(n, text)
	}
	start, end, ok := d.token(n)
	if ok {
		d.replace(start, end, d.quote(text, n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle), yaml.FlowStyle))
	}
	return ok
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

// addKey adds a key to a mapping: behind a short entry, best behind what names the thing.
func (d *draft) addKey(m *yaml.Node, key, value string) bool {
	if m.Kind != yaml.MappingNode {
		return false
	}
	keys := make([]*yaml.Node, 0, len(m.Content)/2)
	for _, name := range []string{"image", "name", "app"} {
		if k, _ := entry(m, name); k != nil {
			keys = append(keys, k)
		}
	}
	for i := 0; i < len(m.Content); i += 2 {
		keys = append(keys, m.Content[i])
	}
	for _, k := range keys {
		v := m.Content[slices.Index(m.Content, k)+1]
		_, end, ok := d.token(v)
		if !ok || v.Line != k.Line {
			continue
		}
		if m.Style&yaml.FlowStyle != 0 {
			d.replace(end, end, ", "+d.quoteKey(key)+": "+value)
			return true
		}
		return d.insertLine(v.Line, strings.Repeat(" ", m.Column-1)+d.quoteKey(key)+":"+separated(value, m.Column-1))
	}
	return false
}

// quoteKey leaves a key as it is, but in JSON.
func (d *draft) quoteKey(key string) string {
	if d.json && !strings.HasPrefix(key, `"`) {
		return `"` + key + `"`
	}
	return key
}

// separated is a value behind its colon: on the same line, or below if it has lines of its own.
func separated(value string, indent int) string {
	if rest, ok := strings.CutPrefix(value, "\n"); ok {
		return "\n" + indented(rest, indent)
	}
	return " " + value
}

func indented(text string, indent int) string {
	prefix := strings.Repeat(" ", indent)
	return prefix + strings.ReplaceAll(text, "\n", "\n"+prefix)
}

// addEnv adds a variable to a container, before all others.
func (d *draft) addEnv(container *yaml.Node, name, value string) bool {
	flow := "{name: " + name + ", value: " + d.quote(value, yaml.DoubleQuotedStyle, plain) + "}"
	if d.json {
		flow = `{"name": "` + name + `", "value": ` + d.quote(value, yaml.DoubleQuotedStyle, plain) + "}"
	}
	block := "- name: " + name + "\n  value: " + d.quote(value, yaml.DoubleQuotedStyle, plain)
	key, list := entry(container, "env")
	switch {
	case list == nil && container.Style&yaml.FlowStyle != 0:
		return d.addKey(container, "env", "["+flow+"]")
	case list == nil:
		return d.addKey(container, "env", "\n"+block)
	case list.Kind != yaml.SequenceNode:
		return false
	case list.Style&yaml.FlowStyle != 0:
		at := d.offset(list)
		if at < 0 || d.text[at] != '[' {
			return false
		}
		if len(list.Content) > 0 {
			flow += ","
			if !strings.HasPrefix(d.text[at+1:], "\n") {
				flow += " "
			}
		}
		d.replace(at+1, at+1, flow)
		return true
	}
	if list.Line <= key.Line {
		return false
	}
	if first := list.Content[0]; first.Style&yaml.FlowStyle != 0 {
		block = "- " + flow
	}
	return d.insertLine(key.Line, indented(block, list.Column-1)) // below the key: comments stay with what they stand above
}
