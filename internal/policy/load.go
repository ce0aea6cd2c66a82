package policy

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

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
	above := 0
	if scalarAt(root, "kind") == "ConfigMap" {
		if twice := uniqueKeys(root); len(twice) > 0 {
			return nil, errors.Join(twice...)
		}
		text, found := lookup(root, "data", Key)
		if !found {
			return nil, fmt.Errorf("policy: the ConfigMap has no key %q%s", Key, keysOf(root, "data"))
		}
		if text.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("policy: line %d: data[%q]: want text, not %s; write %s: | and the document below it", text.Line, Key, shapes[text.ShortTag()], Key)
		}
		if text.Style == yaml.LiteralStyle { // else its lines are not the file's
			above = text.Line
			defer func() { err = addLines(err, above) }()
		}
		data = []byte(text.Value)
		if root, err = onlyDocument(data); err != nil {
			return nil, err
		}
	}
	doc, mistakes, err := decode(root)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	p = &Policy{doc: doc, root: root, rules: rules, hash: hex.EncodeToString(sum[:6]), cap: Deny, partial: len(mistakes) > 0}
	if mistakes = append(mistakes, p.compile()...); len(mistakes) > 0 {
		return nil, inOrder(mistakes)
	}
	p.above = above
	return p, nil
}

// decode reads a document strictly. With mistakes, it is what else could be read, so that they hide no others. An error
// says that nothing could.
func decode(root *yaml.Node) (doc Document, mistakes []error, err error) {
	mistakes = uniqueKeys(root) // else a mapping with a key twice is not decoded at all
	if err := root.Decode(&doc); err != nil {
		more, err := readable(err)
		if err != nil {
			return doc, nil, err
		}
		mistakes = append(mistakes, more...)
	}
	unknownFields(root, reflect.TypeFor[Document](), func(key *yaml.Node) {
		mistakes = append(mistakes, fmt.Errorf("policy: line %d: unknown field %q", key.Line, key.Value))
	})
	return doc, mistakes, nil
}

// uniqueKeys leaves of each key its first value, and tells of the others.
func uniqueKeys(n *yaml.Node) (mistakes []error) {
	if n.Kind == yaml.MappingNode {
		seen := map[string]int{}
		kept := n.Content[:0]
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if line := seen[key.Value]; key.Kind == yaml.ScalarNode && line > 0 {
				mistakes = append(mistakes, fmt.Errorf("policy: line %d: mapping key %q already defined at line %d", key.Line, key.Value, line))
				continue
			}
			seen[key.Value] = key.Line
			kept = append(kept, key, n.Content[i+1])
		}
		n.Content = kept
	}
	for _, child := range n.Content {
		mistakes = append(mistakes, uniqueKeys(child)...)
	}
	return mistakes
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

// onlyDocument is the one document of a text that is not empty.
func onlyDocument(data []byte) (*yaml.Node, error) {
	var found *yaml.Node
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var node yaml.Node
		if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			_, err = readable(err)
			return nil, err
		}
		if node.Content[0].ShortTag() == "!!null" {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("policy: line %d: more than one YAML document", node.Content[0].Line)
		}
		found = node.Content[0]
	}
	switch {
	case found == nil:
		return nil, errors.New("policy: the document is empty")
	case found.Kind != yaml.MappingNode:
		return nil, errors.New("policy: the document is not a mapping")
	}
	return found, nil
}

var (
	wrongType = regexp.MustCompile("(?s)cannot unmarshal (!!\\w+)( `.*`)? into (\\S+)")
	noNetwork = regexp.MustCompile(`netip\.ParsePrefix\((".*")\)`)
)

var shapes = map[string]string{"!!seq": "a list", "!!map": "a mapping"}

// inWords turns one of yaml.v3's mistakes into words without Go's type names and YAML's tags.
func inWords(mistake string) string {
	mistake = noNetwork.ReplaceAllString(mistake, "$1 is no network")
	found := wrongType.FindStringSubmatch(mistake)
	if found == nil {
		return mistake
	}
	is, special := shapes[found[1]]
	if !special {
		is = "text" + found[2]
	}
	want := "a mapping"
	switch goType := found[3]; {
	case strings.HasPrefix(goType, "[]"):
		want = "a list"
	case strings.HasPrefix(goType, "int"):
		want = "a number"
	case goType == "policy.RuleSetting":
		want = "a mapping such as {level: deny}"
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
