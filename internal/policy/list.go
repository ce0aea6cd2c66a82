package policy

import (
	"encoding/json"
	"reflect"
	"sync"
)

// List is objects of a kind in a namespace. Many workloads are judged beside them, so they are decoded once. A nil List is empty.
type List struct {
	json    [][]byte
	mu      sync.Mutex
	decoded map[reflect.Type]any
}

// Append adds an object as JSON, before anybody has decoded the list.
func (l *List) Append(object []byte) { l.json = append(l.json, object) }

// Decode are the objects of a list that can be read as a T, in its order. They are shared: nobody may change them.
func Decode[T any](l *List) []*T {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key := reflect.TypeFor[T]()
	if known, ok := l.decoded[key]; ok {
		return known.([]*T)
	}
	var all []*T
	for _, data := range l.json {
		object := new(T)
		if json.Unmarshal(data, object) == nil {
			all = append(all, object)
		}
	}
	if l.decoded == nil {
		l.decoded = map[reflect.Type]any{}
	}
	l.decoded[key] = all
	return all
}
