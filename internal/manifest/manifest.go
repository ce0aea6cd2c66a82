// Package manifest reads Kubernetes manifests, and finds the pod in every workload that has one.
package manifest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kjson "sigs.k8s.io/json"
	kyaml "sigs.k8s.io/yaml"
)

// Object is a Kubernetes object: its identity, and all of it as JSON.
type Object struct {
	APIVersion, Kind, Namespace, Name string
	JSON                              json.RawMessage

	File string // where it was read; empty if it came in a request
	Line int    // of its first line in the file
	// Source is the chart's template that it was rendered from, as Helm notes it in a comment; else empty.
	Source string
	node   *yaml.Node
}

// Place is where the object stands: FILE:LINE, or NAMESPACE/Kind/name of one that is not of a file.
func (o Object) Place() string {
	if o.File == "" {
		return o.Namespace + "/" + o.Kind + "/" + o.Name
	}
	return o.File + ":" + strconv.Itoa(o.Line)
}

// goTypes is how encoding/json says what it wants: of a field, with the Go type that it is in.
var goTypes = regexp.MustCompile(`json: cannot unmarshal (\w+)(?: \S+)? into Go (?:value|struct field (?:[A-Z]\w*)?\.?(\S+)) of type (.*)`)

// InWords is an error of encoding/json without Go's types: unexpected number at spec.hostname: put it in quotes.
func InWords(err error) string {
	return goTypes.ReplaceAllStringFunc(err.Error(), func(text string) string {
		found := goTypes.FindStringSubmatch(text)
		is, field, want := found[1], found[2], found[3]
		words := "unexpected " + is
		if field != "" {
			words += " at " + field
		}
		if want == "string" && (is == "number" || is == "bool") {
			words += ": put it in quotes"
		}
		return words
	})
}

// FromJSON identifies an object.
func FromJSON(data []byte) (Object, error) {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name         string `json:"name"`
			GenerateName string `json:"generateName"`
			Namespace    string `json:"namespace"`
		} `json:"metadata"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &head); err != nil {
		return Object{}, fmt.Errorf("no Kubernetes object: %s", InWords(err))
	}
	o := Object{APIVersion: head.APIVersion, Kind: head.Kind, Namespace: head.Metadata.Namespace, Name: head.Metadata.Name, JSON: data}
	if o.Name == "" {
		o.Name = head.Metadata.GenerateName
	}
	return o, nil
}

// Read reads YAML or JSON: any number of documents, Lists taken apart. Comments and empty documents are passed over.
// An error names the file and, where it can, the line.
func Read(r io.Reader, file string) ([]Object, error) {
	var objects []Object
	reader := utilyaml.NewYAMLReader(bufio.NewReader(r))
	for line := 1; ; {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		found, err := readDocument(doc, file, line)
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
		line += bytes.Count(doc, []byte("\n")) + 1 // and the line ---
	}
}

func readDocument(doc []byte, file string, line int) ([]Object, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(doc))
	var root, next yaml.Node
	if err := decoder.Decode(&root); errors.Is(err, io.EOF) { // comments only
		return nil, nil
	} else if err != nil {
		return nil, syntaxError(err, doc, file, line)
	}
	if err := decoder.Decode(&next); !errors.Is(err, io.EOF) {
		if bytes.HasPrefix(bytes.TrimSpace(doc), []byte("{")) {
			return readJSONStream(doc, file, line)
		}
		return nil, fmt.Errorf("%s: document at line %d: another follows it without a line ---", file, line)
	}
	if root.Content[0].Tag == "!!null" {
		return nil, nil
	}
	data, err := kyaml.YAMLToJSONStrict(doc)
	if err != nil {
		// A key beside <<: *base replaces the base's, which the strict reader takes for a repetition. And what is not judged
		// need not be better than kubectl wants it: charts that are installed every day have a key twice in a ConfigMap.
		lenient, failed := kyaml.YAMLToJSON(doc)
		if failed != nil || !mergesCleanly(&root) && !passesThrough(lenient, root.Content[0]) {
			return nil, syntaxError(err, doc, file, line)
		}
		data = lenient
	}
	if root.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s: document at line %d is no Kubernetes object", file, line)
	}
	objects, err := fromNode(data, root.Content[0], file, line)
	source := sourceOf(doc)
	for i := range objects {
		objects[i].Source = source
	}
	return objects, err
}

// passesThrough says whether an object is of a kind without a pod, and surely one object: two kinds are two of them, and
// the line --- between is missing.
func passesThrough(data []byte, n *yaml.Node) bool {
	kinds := 0
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "kind" {
			kinds++
		}
	}
	o, err := FromJSON(data)
	if err != nil || kinds != 1 || strings.HasSuffix(o.Kind, "List") {
		return false
	}
	_, judged, err := o.Template()
	return !judged && err == nil
}

// mergesCleanly says whether a document has merge keys, and no mapping with a key that is written twice.
func mergesCleanly(n *yaml.Node) bool {
	merges, repeats := false, false
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		seen := map[string]bool{}
		for i, child := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 {
				merges = merges || child.Tag == "!!merge"
				repeats = repeats || seen[child.Value]
				seen[child.Value] = true
			}
			walk(child)
		}
	}
	walk(n)
	return merges && !repeats
}

// sourceOf is the template that Helm names in a comment above what it rendered.
func sourceOf(doc []byte) string {
	for line := range bytes.Lines(doc) {
		line = bytes.TrimSpace(line)
		if source, ok := bytes.CutPrefix(line, []byte("# Source: ")); ok {
			return string(bytes.TrimSpace(source))
		}
		if len(line) > 0 && line[0] != '#' && !bytes.HasPrefix(line, []byte("---")) {
			break
		}
	}
	return ""
}

// readJSONStream reads objects that stand one behind the other, as jq writes them.
func readJSONStream(rest []byte, file string, line int) (objects []Object, err error) {
	for {
		doc := bytes.TrimLeft(rest, " \t\r\n")
		line += bytes.Count(rest[:len(rest)-len(doc)], []byte("\n"))
		if len(doc) == 0 {
			return objects, nil
		}
		var one json.RawMessage
		if err := json.NewDecoder(bytes.NewReader(doc)).Decode(&one); err != nil {
			return nil, fmt.Errorf("%s: document at line %d: %w", file, line, err)
		}
		found, err := readDocument(one, file, line)
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
		line += bytes.Count(one, []byte("\n"))
		rest = doc[len(one):]
	}
}

var lineInDocument = regexp.MustCompile(`\bline (\d+): `)

// syntaxError counts a YAML library's line from the file's start, not from the document's.
func syntaxError(err error, doc []byte, file string, line int) error {
	text := lineInDocument.ReplaceAllStringFunc(strings.TrimPrefix(err.Error(), "yaml: "), func(found string) string {
		n, _ := strconv.Atoi(lineInDocument.FindStringSubmatch(found)[1])
		return fmt.Sprintf("line %d: ", line+n-1)
	})
	if bytes.Contains(doc, []byte("{{")) {
		text += " (if it is a template, render it first: helm template CHART | twelvefold check -f -)"
	}
	return fmt.Errorf("%s: document at line %d: %s", file, line, text)
}

// allObjects says whether items are objects: they have metadata, or say what they are.
func allObjects(items []json.RawMessage) bool {
	return !slices.ContainsFunc(items, func(item json.RawMessage) bool {
		var fields map[string]json.RawMessage
		return json.Unmarshal(item, &fields) != nil || fields["kind"] == nil && fields["metadata"] == nil
	})
}

// typed is an item of a list with its kind: the API server leaves it out, where it answers with a PodList and not a List.
func typed(item json.RawMessage, list Object) json.RawMessage {
	var fields map[string]json.RawMessage
	kind := strings.TrimSuffix(list.Kind, "List")
	if kind == "" || json.Unmarshal(item, &fields) != nil || fields == nil || fields["kind"] != nil || fields["apiVersion"] != nil {
		return item
	}
	fields["kind"], _ = json.Marshal(kind)
	fields["apiVersion"], _ = json.Marshal(list.APIVersion)
	with, err := json.Marshal(fields)
	if err != nil {
		return item
	}
	return with
}

// itemOf is where an item of a list was written. One that a merge key brings is told by the list's line.
func itemOf(list *yaml.Node, i int) *yaml.Node {
	items := child(list, "items")
	if items != nil && items.Kind == yaml.AliasNode {
		items = items.Alias
	}
	if items == nil || i >= len(items.Content) {
		return &yaml.Node{Kind: yaml.ScalarNode, Line: list.Line}
	}
	return items.Content[i]
}

func fromNode(data []byte, node *yaml.Node, file string, line int) ([]Object, error) {
	o, err := FromJSON(data)
	if err != nil {
		return nil, fmt.Errorf("%s: document at line %d: %w", file, line, err)
	}
	o.File, o.Line, o.node = file, line+node.Line-1, node
	if !strings.HasSuffix(o.Kind, "List") {
		return []Object{o}, nil
	}
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	group, _, _ := strings.Cut(o.APIVersion, "/")
	err = json.Unmarshal(data, &list)
	switch isOther := strings.Contains(group, "."); {
	case list.Items == nil && err == nil, isOther && (err != nil || !allObjects(list.Items)):
		return []Object{o}, nil // a kind that only sounds like a list
	case err != nil:
		return nil, fmt.Errorf("%s: document at line %d: %s: %s", file, line, o.Kind, InWords(err))
	}
	var objects []Object
	for i, item := range list.Items {
		found, err := fromNode(typed(item, o), itemOf(node, i), file, line)
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
	}
	return objects, nil
}
