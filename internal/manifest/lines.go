package manifest

import (
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// steps takes a path apart: `spec`, `containers`, `[name="api"]`, `[0]`, `["key.with/dots"]`.
var steps = regexp.MustCompile(`[^.\[\]]+|\[\d+\]|\[(?:\w+=)?"(?:[^"\\]|\\.)*"\]`)

// LineOf is the line of a field in the object's file: of spec.containers[name="api"].image, or of its nearest parent
// that is written there. It is 0 for an object that was not read from a file.
func (o Object) LineOf(path string) int {
	if o.node == nil {
		return 0
	}
	node, line := o.node, o.node.Line
	for _, step := range steps.FindAllString(path, -1) {
		key, next := descend(node, step)
		if next == nil {
			break
		}
		node, line = next, key.Line
	}
	return o.Line + line - o.node.Line
}

// descend is the key (or item) and the value that a step leads to.
func descend(node *yaml.Node, step string) (key, value *yaml.Node) {
	if !strings.HasPrefix(step, "[") {
		for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				return node.Content[i], node.Content[i+1]
			}
		}
		return nil, nil
	}
	if node.Kind != yaml.SequenceNode && node.Kind != yaml.MappingNode {
		return nil, nil
	}
	inner := strings.Trim(step, "[]")
	if quoted, err := strconv.Unquote(inner); err == nil { // annotations["a.b/c"]
		return descend(node, quoted)
	}
	field, quoted, named := strings.Cut(inner, "=")
	name, _ := strconv.Unquote(quoted)
	index, err := strconv.Atoi(inner)
	for i, item := range node.Content {
		if named && item.Kind == yaml.MappingNode {
			if v := child(item, field); v != nil && v.Value == name {
				return item, item
			}
		}
		if !named && err == nil && i == index {
			return item, item
		}
	}
	return nil, nil
}

func child(node *yaml.Node, key string) *yaml.Node {
	_, value := descend(node, key)
	return value
}

// Node is the object as it was written; nil for one that was not read from a file. Its lines count from the document's
// start.
func (o Object) Node() *yaml.Node { return o.node }
