package fix

import (
	"maps"
	"reflect"
	"slices"
)

// change is one edit of an object's tree, which is decoded JSON.
type change struct {
	path  []any // keys and indices, to what is set, added or dropped
	kind  kind
	value any // what is there then; nil for drop
}

type kind int

const (
	set     kind = iota // a scalar that is there
	drop                // an item of a list of strings
	addKey              // to a mapping that is there
	addItem             // to a list that is there, at its beginning or its end
)

// difference leads from one tree to another, as far as the changes there are can do that.
func difference(before, after any, at []any) (changes []change, ok bool) {
	below := func(step any) []any { return append(slices.Clone(at), step) }
	switch after := after.(type) {
	case map[string]any:
		before, same := before.(map[string]any)
		if !same {
			return nil, false
		}
		for _, key := range slices.Sorted(maps.Keys(after)) {
			was, has := before[key]
			if !has {
				changes = append(changes, change{below(key), addKey, after[key]})
				continue
			}
			more, ok := difference(was, after[key], below(key))
			if !ok {
				return nil, false
			}
			changes = append(changes, more...)
		}
		for key := range before {
			if _, kept := after[key]; !kept {
				return nil, false
			}
		}
		return changes, true
	case []any:
		before, same := before.([]any)
		if !same {
			return nil, false
		}
		return listDifference(before, after, at)
	}
	switch {
	case reflect.DeepEqual(before, after):
		return nil, true
	case reflect.TypeOf(before) == reflect.TypeOf(after) && after != nil:
		return []change{{at, set, after}}, true
	}
	return nil, false
}

func listDifference(before, after []any, at []any) (changes []change, ok bool) {
	below := func(i int) []any { return append(slices.Clone(at), i) }
	more := len(after) - len(before)
	switch {
	case more < 0:
		return dropped(before, after, below)
	case more > 0 && reflect.DeepEqual(before, after[more:]):
		for _, item := range slices.Backward(after[:more]) {
			changes = append(changes, change{below(0), addItem, item})
		}
		return changes, true
	}
	for i, was := range before {
		inside, ok := difference(was, after[i], below(i))
		if !ok {
			return nil, false
		}
		changes = append(changes, inside...)
	}
	for i := len(before); i < len(after); i++ {
		changes = append(changes, change{below(i), addItem, after[i]})
	}
	return changes, true
}

// dropped takes words out of a list; the last ones first, so that indices stay right.
func dropped(before, after []any, below func(int) []any) (changes []change, ok bool) {
	kept := 0
	for i, word := range before {
		if kept < len(after) && reflect.DeepEqual(word, after[kept]) {
			kept++
		} else if _, text := word.(string); text {
			changes = append(changes, change{path: below(i), kind: drop})
		} else {
			return nil, false
		}
	}
	slices.Reverse(changes)
	return changes, kept == len(after)
}

// apply makes the change to a tree.
func (c change) apply(tree *any) bool {
	return c.descend(tree, c.path)
}

func (c change) descend(at *any, path []any) bool {
	if len(path) == 0 {
		_, isMap := (*at).(map[string]any)
		_, isList := (*at).([]any)
		*at = c.value
		return c.kind == set && !isMap && !isList
	}
	switch node := (*at).(type) {
	case map[string]any:
		key, ok := path[0].(string)
		if !ok {
			return false
		}
		value, has := node[key]
		if c.kind == addKey && len(path) == 1 {
			node[key] = c.value
			return !has
		}
		if !has || !c.descend(&value, path[1:]) {
			return false
		}
		node[key] = value
		return true
	case []any:
		i, ok := path[0].(int)
		if !ok {
			return false
		}
		if c.kind == addItem && len(path) == 1 {
			if i > len(node) {
				return false
			}
			*at = slices.Insert(slices.Clone(node), i, c.value)
			return true
		}
		if i >= len(node) {
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
