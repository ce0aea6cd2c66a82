package policy_test

import (
	"testing"

	"twelvefold.dev/internal/policy"
)

// Objects are decoded once for each type that somebody reads; what can't be read is passed over.
func TestListDecodesOnce(t *testing.T) {
	type named struct{ Name string }
	type sized struct{ Size int }
	list := &policy.List{}
	for _, object := range []string{`{"name": "a", "size": 1}`, `{"name": 7, "size": 2}`, `[]`, `{"name": "b", "size": "x"}`} {
		list.Append([]byte(object))
	}
	names, sizes := policy.Decode[named](list), policy.Decode[sized](list)
	if len(names) != 2 || names[0].Name != "a" || names[1].Name != "b" || len(sizes) != 2 || sizes[1].Size != 2 {
		t.Errorf("%v %v", names, sizes)
	}
	if again := policy.Decode[named](list); again[0] != names[0] {
		t.Error("it is decoded again")
	}
	if none := policy.Decode[named](nil); none != nil {
		t.Errorf("no list holds %v", none)
	}
}
