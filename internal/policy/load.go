package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// MaxSize is the largest document that is read, in bytes.
const MaxSize = 512 << 10

// Catalogue is what a policy must know of the rules that it sets.
type Catalogue interface {
	Lookup(id string) (RuleInfo, bool)
	// Repairable are the rules that have a repair.
	Repairable() []string
}

// RuleInfo is the part of a rule that policies configure.
type RuleInfo struct {
	ID     string
	Factor Factor
	Levels Levels
	// Params are the default parameters, a struct with yaml tags; nil if the rule takes none. Where it has a method
	// Validate() error, that says what is wrong with a policy's.
	Params any
	Repair Repairable
}

// Parse reads a policy: the bare document, or a ConfigMap that holds it under [Key]. Every mistake is reported, with
// its line where it has one.
func Parse(data []byte, rules Catalogue) (p *Policy, err error) {
	defer func() {
		if r := recover(); r != nil { // yaml.v3 has panicked on hostile input before
			p, err = nil, fmt.Errorf("policy: unreadable YAML: %v", r)
		}
	}()
	if len(data) > MaxSize {
		return nil, fmt.Errorf("policy: %d bytes; at most %d", len(data), MaxSize)
	}
	root, err := onlyDocument(data)
	if err != nil {
		return nil, err
	}
	if scalarAt(root, "kind") == "ConfigMap" {
		var keysOnce map[string]any
		if err := root.Decode(&keysOnce); err != nil {
			return nil, readable(err)
		}
		text, found := lookup(root, "data", Key)
		if !found {
			return nil, fmt.Errorf("policy: the ConfigMap has no key %q%s", Key, keysOf(root, "data"))
		}
		if text.Style == yaml.LiteralStyle { // else its lines are not the file's
			defer func() { err = addLines(err, text.Line) }()
		}
		data = []byte(text.Value)
		if root, err = onlyDocument(data); err != nil {
			return nil, err
		}
	}
	var doc Document
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&doc); err != nil {
		return nil, readable(err)
	}
	sum := sha256.Sum256(data)
	p = &Policy{doc: doc, root: root, rules: rules, hash: hex.EncodeToString(sum[:6]), cap: Deny}
	if err := p.compile(); err != nil {
		return nil, err
	}
	return p, nil
}

// keysOf tells which keys there are instead.
func keysOf(n *yaml.Node, field string) string {
	mapping, _ := lookup(n, field)
	if mapping == nil || mapping.Kind != yaml.MappingNode || len(mapping.Content) == 0 {
		return ""
	}
	var keys []string
	for i := 0; i < len(mapping.Content); i += 2 {
		keys = append(keys, strconv.Quote(mapping.Content[i].Value))
	}
	return "; it has " + strings.Join(keys, ", ")
}

var lineNumber = regexp.MustCompile(`\bline (\d+): `)

// addLines counts the lines of mistakes from the start of the file that holds the document.
func addLines(err error, above int) error {
	if err == nil {
		return nil
	}
	return errors.New(lineNumber.ReplaceAllStringFunc(err.Error(), func(found string) string {
		n, _ := strconv.Atoi(lineNumber.FindStringSubmatch(found)[1])
		return fmt.Sprintf("line %d: ", n+above)
	}))
}

func onlyDocument(data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var node, next yaml.Node
	if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
		return nil, errors.New("policy: the document is empty")
	} else if err != nil {
		return nil, readable(err)
	}
	if err := decoder.Decode(&next); !errors.Is(err, io.EOF) {
		return nil, errors.New("policy: more than one YAML document")
	}
	if len(node.Content) != 1 || node.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("policy: the document is empty or not a mapping")
	}
	return node.Content[0], nil
}

var (
	unknownField = regexp.MustCompile(`field (.+) not found in type \S+`)
	wrongType    = regexp.MustCompile("(?s)cannot unmarshal (!!\\w+)( `.*`)? into (\\S+)")
)

// inWords turns one of yaml.v3's mistakes into words without Go's type names and YAML's tags.
func inWords(mistake string) string {
	mistake = unknownField.ReplaceAllString(mistake, `unknown field "$1"`)
	found := wrongType.FindStringSubmatch(mistake)
	if found == nil {
		return mistake
	}
	is := map[string]string{"!!seq": "a list", "!!map": "a mapping"}[found[1]]
	if is == "" {
		is = "text" + found[2]
	}
	want := "a mapping"
	switch goType := found[3]; {
	case strings.HasPrefix(goType, "[]"):
		want = "a list"
	case strings.HasPrefix(goType, "int"):
		want = "a number"
	case goType == "bool":
		want = "true or false"
	case goType == "string":
		want = "text"
	}
	return strings.Replace(mistake, found[0], "want "+want+", not "+is, 1)
}

// readable turns yaml.v3's errors into ours: one line each, without Go's type names.
func readable(err error) error {
	var mistakes *yaml.TypeError
	if !errors.As(err, &mistakes) {
		return fmt.Errorf("policy: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	joined := make([]error, len(mistakes.Errors))
	for i, text := range mistakes.Errors {
		joined[i] = fmt.Errorf("policy: %s", inWords(text))
	}
	return errors.Join(joined...)
}

// lineError is an error of an UnmarshalYAML method, in the form that yaml.v3 collects.
func lineError(n *yaml.Node, err error) error {
	return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %v", n.Line, err)}}
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
	t, err := time.Parse(time.DateOnly, n.Value)
	if err != nil {
		return lineError(n, fmt.Errorf("%q is not a date like 2027-03-31", n.Value))
	}
	d.Time = t
	return nil
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
	var keysOnce map[string]any
	if err := n.Decode(&keysOnce); err != nil {
		return err
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		var err error
		switch key := n.Content[i]; key.Value {
		case "secret":
			err = n.Content[i+1].Decode(&s.Secret)
		case "optional":
			err = n.Content[i+1].Decode(&s.Optional)
		default:
			err = lineError(key, fmt.Errorf("unknown field %q", key.Value))
		}
		if err != nil {
			return err
		}
	}
	return nil
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
	for i := 0; i+1 < len(n.Content); i += 2 {
		var err error
		switch key := n.Content[i]; key.Value {
		case "from":
			err = n.Content[i+1].Decode(&v.From)
		case "default":
			err = n.Content[i+1].Decode(&v.Default)
		default:
			err = lineError(key, fmt.Errorf("unknown field %q", key.Value))
		}
		if err != nil {
			return err
		}
	}
	return nil
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

// decodeParams reads a rule's parameters over its defaults, strictly.
func decodeParams(n *yaml.Node, into any) error {
	var value any // anchors may stand elsewhere in the document
	if err := n.Decode(&value); err != nil {
		return err
	}
	text, err := yaml.Marshal(value)
	if err != nil {
		return err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil && !errors.Is(err, io.EOF) { // params without a value
		var mistakes *yaml.TypeError
		if errors.As(err, &mistakes) { // their lines count from the parameters
			texts := make([]string, len(mistakes.Errors))
			for i, text := range mistakes.Errors {
				texts[i] = regexp.MustCompile(`^line \d+: `).ReplaceAllString(inWords(text), "")
			}
			return errors.New(strings.Join(texts, "; "))
		}
		return err
	}
	return nil
}
