package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// lineError is an error of an UnmarshalYAML method, in the form that yaml.v3 collects.
func lineError(n *yaml.Node, err error) error {
	return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %v", n.Line, err)}}
}

// decodeStrictly reads a mapping inside an UnmarshalYAML method, where yaml.v3 is not strict by itself.
func decodeStrictly(n *yaml.Node, into any, fields ...string) error {
	var mistakes yaml.TypeError
	for i := 0; i < len(n.Content); i += 2 {
		if key := n.Content[i]; !slices.Contains(fields, key.Value) {
			mistakes.Errors = append(mistakes.Errors, fmt.Sprintf("line %d: unknown field %q; want %s", key.Line, key.Value, strings.Join(fields, ", ")))
		}
	}
	var more *yaml.TypeError
	if err := n.Decode(into); errors.As(err, &more) {
		mistakes.Errors = append(mistakes.Errors, more.Errors...)
	} else if err != nil {
		return err
	}
	if len(mistakes.Errors) > 0 {
		return &mistakes
	}
	return nil
}

// lookup finds the value under a path of mapping keys.
func lookup(n *yaml.Node, path ...string) (*yaml.Node, bool) {
	for _, key := range path {
		_, value := entry(n, key)
		if value == nil {
			return nil, false
		}
		n = value
	}
	return n, true
}

func entry(n *yaml.Node, key string) (k, v *yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k, v = n.Content[i], n.Content[i+1]; k.Value != key {
			continue
		}
		if v.Kind == yaml.AliasNode {
			v = v.Alias
		}
		return k, v
	}
	return nil, nil
}

func scalarAt(n *yaml.Node, path ...string) string {
	if v, ok := lookup(n, path...); ok {
		return v.Value
	}
	return ""
}

// UnmarshalYAML reads a date.
func (d *Date) UnmarshalYAML(n *yaml.Node) error {
	return readWord(n, &d.Time, func(word string) (time.Time, error) {
		t, err := time.Parse(time.DateOnly, word)
		if err != nil {
			return t, fmt.Errorf("%q is not a date like 2027-03-31", word)
		}
		return t, nil
	})
}

// UnmarshalYAML reads a reference as a string or as a mapping.
func (s *BindingSecret) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		s.Secret = n.Value
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return lineError(n, errors.New("want a reference, or {secret: …, optional: true}"))
	}
	type mapping BindingSecret
	return decodeStrictly(n, (*mapping)(s), "secret", "optional")
}

// UnmarshalYAML reads one name or a list.
func (n *Names) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*n = Names{node.Value}
		return nil
	}
	return node.Decode((*[]string)(n))
}

// UnmarshalYAML reads a value from names alone or as a mapping.
func (v *Value) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return n.Decode(&v.From)
	}
	type mapping Value
	return decodeStrictly(n, (*mapping)(v), "from", "default")
}

// UnmarshalYAML keeps any value as JSON.
func (j *JSON) UnmarshalYAML(n *yaml.Node) error {
	var v any
	if err := n.Decode(&v); err != nil {
		return err
	}
	data, err := json.Marshal(v)
	if err != nil {
		return lineError(n, err)
	}
	*j = data
	return nil
}

// copyParams copies parameters deeply: YAML is decoded into the maps that are there, and those may be a rule's defaults.
func copyParams(from, into any) error {
	text, err := yaml.Marshal(from)
	if err != nil {
		return err
	}
	return yaml.Unmarshal(text, into)
}

// decodeParams reads a rule's parameters over its defaults, strictly. Mistakes are told with their line, 0 if it is unknown.
func decodeParams(n *yaml.Node, into any, fail func(line int, mistake string)) {
	var mistakes *yaml.TypeError
	switch err := n.Decode(into); {
	case err == nil, errors.Is(err, io.EOF): // params without a value
	case errors.As(err, &mistakes):
		for _, text := range mistakes.Errors {
			line, rest := cutLine(text)
			fail(line, inWords(rest))
		}
	default:
		fail(0, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	unknownFields(n, reflect.TypeOf(into), func(key *yaml.Node) { fail(key.Line, fmt.Sprintf("unknown field %q", key.Value)) })
}

// unknownFields finds the keys that a type has no field for. yaml.v3 can do that as well, but only while it decodes a whole
// text (Decoder.KnownFields), in which no key stands twice. Types with an UnmarshalYAML look for themselves.
func unknownFields(n *yaml.Node, t reflect.Type, found func(key *yaml.Node)) {
	type visit struct {
		n *yaml.Node
		t reflect.Type
	}
	seen := map[visit]bool{} // what an alias repeats is looked at once
	var walk func(n *yaml.Node, t reflect.Type)
	walk = func(n *yaml.Node, t reflect.Type) {
		for n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if seen[visit{n, t}] || t == reflect.TypeFor[yaml.Node]() || reflect.PointerTo(t).Implements(reflect.TypeFor[yaml.Unmarshaler]()) {
			return
		}
		seen[visit{n, t}] = true
		if n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice {
			for _, item := range n.Content {
				walk(item, t.Elem())
			}
		}
		if n.Kind != yaml.MappingNode || t.Kind() != reflect.Struct && t.Kind() != reflect.Map {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			switch {
			case key.ShortTag() == "!!merge" && value.Kind == yaml.SequenceNode:
				for _, item := range value.Content {
					walk(item, t)
				}
			case key.ShortTag() == "!!merge":
				walk(value, t)
			case t.Kind() == reflect.Map:
				walk(value, t.Elem())
			default:
				if field := fieldOf(t, key.Value); field == nil {
					found(key)
				} else {
					walk(value, field)
				}
			}
		}
	}
	walk(n, t)
}

// fieldOf is the type of the field that yaml.v3 puts a key into; nil if there is none.
func fieldOf(t reflect.Type, key string) reflect.Type {
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if options == "inline" {
			if inline := fieldOf(field.Type, key); inline != nil {
				return inline
			}
		} else if name == key {
			return field.Type
		}
	}
	return nil
}

// cutLine takes the line from one of yaml.v3's mistakes.
func cutLine(mistake string) (line int, rest string) {
	found := lineNumber.FindStringSubmatchIndex(mistake)
	if found == nil || found[0] > 0 {
		return 0, mistake
	}
	line, _ = strconv.Atoi(mistake[found[2]:found[3]])
	return line, mistake[found[1]:]
}
