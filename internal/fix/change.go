package fix

import "slices"

// change is one edit of an object's tree: exactly one of set, add, drop.
type change struct {
	path []any // keys and indices, to what is set or dropped, or to the list that gets an item
	kind kind
	text string            // set: the new text of a string; label: its value
	env  map[string]string // add: a variable
}

type kind int

const (
	setText kind = iota // of a string that is there
	drop                // an item of a list of strings
	addKey              // a key with a string, to a mapping that is there
	addEnv              // a variable to a container, which may have none yet
)

// apply makes the change to decoded JSON.
func (c change) apply(tree *any) bool {
	return c.descend(tree, c.path)
}

func (c change) descend(at *any, path []any) bool {
	if c.kind == addEnv && len(path) == 0 {
		container, ok := (*at).(map[string]any)
		if !ok {
			return false
		}
		list, _ := container["env"].([]any)
		// it comes first: a variable that refers to no other may stand anywhere
		container["env"] = append([]any{map[string]any{"name": c.env["name"], "value": c.env["value"]}}, list...)
		return true
	}
	if len(path) == 0 {
		_, ok := (*at).(string)
		*at = c.text
		return ok
	}
	switch node := (*at).(type) {
	case map[string]any:
		key, ok := path[0].(string)
		if !ok {
			return false
		}
		value, has := node[key]
		if c.kind == addKey && len(path) == 1 {
			node[key] = c.text
			return !has
		}
		if !has || !c.descend(&value, path[1:]) {
			return false
		}
		node[key] = value
		return true
	case []any:
		i, ok := path[0].(int)
		if !ok || i >= len(node) {
			return false
		}
		if c.kind == drop && len(path) == 1 {
			*at = slices.Delete(slices.Clone(node), i, i+1)
			return true
		}
		return c.descend(&node[i], path[1:])
	}
	return false
}
