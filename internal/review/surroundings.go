package review

import (
	"cmp"
	"encoding/json"
	"slices"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
)

// Surroundings are objects by what rules ask about them: those beside a workload in its namespace.
type Surroundings struct {
	namespace string // of objects that name none
	unread    []string
	named     map[identity][]byte
	kinds     map[identity]*policy.List // by kind and namespace
}

type identity struct{ kind, namespace, name string }

// NewSurroundings sorts objects; namespace is that of objects that name none. Of unread kinds it is not known which there are.
func NewSurroundings(objects []manifest.Object, namespace string, unread ...string) *Surroundings {
	s := &Surroundings{namespace: namespace, unread: unread, named: map[identity][]byte{}, kinds: map[identity]*policy.List{}}
	for _, o := range objects {
		id := identity{o.Kind, cmp.Or(o.Namespace, namespace), ""}
		if s.kinds[id] == nil {
			s.kinds[id] = &policy.List{}
		}
		s.kinds[id].Append(o.JSON)
		if id.name = o.Name; o.Kind != "ConfigMap" || keyVaultLabelled(o.JSON) { // of others the webhook does not know
			s.named[id] = o.JSON
		}
	}
	return s
}

// Add has facts answer with these objects; what is not among them, they answer as before.
func (s *Surroundings) Add(facts *policy.Facts) {
	namespace, before := facts.Namespace, facts.Object
	facts.Objects = func(kind string) (*policy.List, bool) {
		return s.kinds[identity{kind, namespace, ""}], !slices.Contains(s.unread, kind)
	}
	facts.Object = func(kind, name string) []byte {
		if data := s.named[identity{kind, namespace, name}]; data != nil || before == nil {
			return data
		}
		return before(kind, name)
	}
}

func keyVaultLabelled(object []byte) bool {
	var meta struct {
		Metadata struct{ Labels map[string]string }
	}
	return json.Unmarshal(object, &meta) == nil && meta.Metadata.Labels[policy.KeyVaultLabel] == "true"
}
