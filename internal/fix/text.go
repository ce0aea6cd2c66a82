package fix

import (
	"bytes"
	"encoding/json"
	"fmt"
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
