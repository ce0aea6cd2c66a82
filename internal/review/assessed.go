package review

import (
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
)

// Assessed are the factors of which rules look at the object's pod; none for an object that is not judged.
func Assessed(in Input) (map[policy.Factor]bool, error) {
	s, err := Open(in)
	if err != nil || s == nil {
		return nil, err
	}
	return rules.Assessed(rules.NewSubject(s.Edit.Pod(), s.Policy, s.Facts)), nil
}
