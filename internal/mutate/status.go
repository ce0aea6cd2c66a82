package mutate

import (
	"encoding/json"
	"slices"

	"twelvefold.dev/internal/policy"
)

// StatusAnnotation tells what was done to a pod, and what was skipped and why.
const StatusAnnotation = policy.StatusAnnotation

// Status is the value of [StatusAnnotation]. Nothing is decided by it but whether a job was done before: anyone who may
// write pods may write it.
type Status struct {
	Policy  string              `json:"policy"` // hash of the policy
	Done    map[string][]string `json:"done,omitempty"`
	Skipped map[string][]string `json:"skipped,omitempty"`
}

// ReadStatus reads the annotation. What can't be read counts as absent: it was not written by us. Somebody else may also
// have written what can, so it is brought into our order.
func ReadStatus(text string) Status {
	var s Status
	if json.Unmarshal([]byte(text), &s) != nil {
		return Status{}
	}
	for _, sections := range []map[string][]string{s.Done, s.Skipped} {
		for name, entries := range sections {
			slices.Sort(entries)
			sections[name] = slices.Compact(entries)
		}
	}
	return s
}

// String is compact JSON, the same for the same status.
func (s Status) String() string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and maps of strings always marshal
	}
	return string(data)
}

// addTo adds an entry to a section, sorted and once. The map given is not changed: it may be the pod's earlier status.
func addTo(sections map[string][]string, section, entry string) map[string][]string {
	entries := sections[section]
	i, found := slices.BinarySearch(entries, entry)
	if found {
		return sections
	}
	copied := make(map[string][]string, len(sections)+1)
	for k, v := range sections {
		copied[k] = v
	}
	copied[section] = slices.Insert(slices.Clone(entries), i, entry)
	return copied
}
