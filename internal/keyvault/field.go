package keyvault

import (
	"encoding/json"
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// field finds a member of the JSON or YAML mapping that a text is. Numbers and booleans come as they are written there.
func field(text, name string) (string, error) {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &members) == nil && members != nil { // first: not all JSON is YAML
		raw, ok := members[name]
		if !ok {
			return "", noField(name)
		}
		return scalarOfJSON(raw, name)
	}
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil || len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return "", errors.New("its text is no JSON or YAML mapping; correct the secret, or leave out the field") // the parser's error quotes it
	}
	pairs := document.Content[0].Content
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i].Kind == yaml.ScalarNode && pairs[i].Value == name {
			return scalarOfYAML(pairs[i+1], name)
		}
	}
	return "", noField(name)
}

func scalarOfJSON(raw json.RawMessage, name string) (string, error) {
	switch raw[0] { // a RawMessage is a valid value without blanks around it
	case '"':
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return "", noScalar(name)
		}
		return text, nil
	case '{', '[', 'n':
		return "", noScalar(name)
	}
	return string(raw), nil
}

func scalarOfYAML(node *yaml.Node, name string) (string, error) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node == nil || node.Kind != yaml.ScalarNode || node.ShortTag() == "!!null" {
		return "", noScalar(name)
	}
	return node.Value, nil
}

func noField(name string) error {
	return fmt.Errorf("its mapping has no field %q; correct the field's name, or add it to the secret", name)
}

func noScalar(name string) error {
	return fmt.Errorf("its field %q is no text, number or boolean; name one that is", name)
}
