package policy

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
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
}

// RuleInfo is the part of a rule that policies configure.
type RuleInfo struct {
	ID     string
	Factor Factor
	Levels Levels
	Params any // the default parameters, a struct with yaml tags; nil if the rule takes none
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
			mistakes, err := readable(err)
			return nil, cmp.Or(err, errors.Join(mistakes...))
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
	doc, mistakes, err := decode(data, root)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	p = &Policy{doc: doc, root: root, rules: rules, hash: hex.EncodeToString(sum[:6]), cap: Deny, partial: len(mistakes) > 0}
	if mistakes = append(mistakes, p.compile()...); len(mistakes) > 0 {
		return nil, inOrder(mistakes)
	}
	return p, nil
}

// decode reads a document strictly. With mistakes, it is what else could be read, so that they hide no others. An error
// says that nothing could.
func decode(data []byte, root *yaml.Node) (doc Document, mistakes []error, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	strict := decoder.Decode(&doc)
	if strict == nil {
		return doc, nil, nil
	}
	if mistakes, err = readable(strict); err != nil {
		return doc, nil, err
	}
	uniqueKeys(root) // a mapping with a key twice is not decoded at all
	doc = Document{}
	if rest := root.Decode(&doc); rest != nil {
		more, err := readable(rest)
		if err != nil {
			return doc, nil, err
		}
		mistakes = append(mistakes, more...)
	}
	return doc, mistakes, nil
}

// uniqueKeys leaves of each key its first value.
func uniqueKeys(n *yaml.Node) {
	for i := 0; i < len(n.Content); i++ {
		uniqueKeys(n.Content[i])
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	kept := n.Content[:0]
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		twice := false
		for j := 0; j < len(kept); j += 2 {
			twice = twice || kept[j].Kind == key.Kind && kept[j].Value == key.Value
		}
		if !twice {
			kept = append(kept, key, n.Content[i+1])
		}
	}
	n.Content = kept
}

// inOrder are mistakes by their lines, each told once.
func inOrder(mistakes []error) error {
	line := func(err error) int {
		n, _ := cutLine(strings.TrimPrefix(err.Error(), "policy: "))
		return n
	}
	slices.SortStableFunc(mistakes, func(a, b error) int { return cmp.Compare(line(a), line(b)) })
	told := map[string]bool{}
	return errors.Join(slices.DeleteFunc(mistakes, func(err error) bool {
		again := told[err.Error()]
		told[err.Error()] = true
		return again
	})...)
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
		_, err = readable(err)
		return nil, err
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

// readable turns an error of yaml.v3 into ours, one line each, without Go's type names: mistakes in a text that can be read
// otherwise, or what keeps it from being read.
func readable(err error) (mistakes []error, fatal error) {
	var found *yaml.TypeError
	if !errors.As(err, &found) {
		return nil, fmt.Errorf("policy: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	for _, text := range found.Errors {
		mistakes = append(mistakes, fmt.Errorf("policy: %s", inWords(text)))
	}
	return mistakes, nil
}

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
	tell := func(err error, only *regexp.Regexp, lineOf func(text string, line int) int) {
		var mistakes *yaml.TypeError
		switch {
		case err == nil, errors.Is(err, io.EOF): // params without a value
		case errors.As(err, &mistakes):
			for _, text := range mistakes.Errors {
				if only == nil || only.MatchString(text) {
					line, rest := cutLine(text)
					fail(lineOf(text, line), inWords(rest))
				}
			}
		default:
			fail(0, strings.TrimPrefix(err.Error(), "yaml: "))
		}
	}
	err := n.Decode(into)
	tell(err, nil, func(_ string, line int) int { return line })

	// A node is not decoded strictly. Anchors may stand elsewhere in the document, so it is the value that is written anew.
	var value any
	if n.Decode(&value) != nil {
		return // told
	}
	text, err := yaml.Marshal(value)
	if err == nil {
		decoder := yaml.NewDecoder(bytes.NewReader(text))
		decoder.KnownFields(true)
		err = decoder.Decode(into)
	}
	tell(err, unknownField, func(text string, _ int) int { return lineOfKey(n, unknownField.FindStringSubmatch(text)[1]) })
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

// lineOfKey finds a key at any depth; 0 if there is none.
func lineOfKey(n *yaml.Node, key string) int {
	if k, _ := entry(n, key); k != nil {
		return k.Line
	}
	for _, child := range n.Content {
		if line := lineOfKey(child, key); line > 0 {
			return line
		}
	}
	return 0
}
