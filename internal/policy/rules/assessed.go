package rules

import "twelvefold.dev/internal/policy"

// Assessed are the factors of which at least one rule looks at the pod: it is on there, and made for such pods. That
// nothing was found of another factor says nothing.
func Assessed(s *Subject) map[policy.Factor]bool {
	assessed := map[policy.Factor]bool{}
	for _, r := range All() {
		if !s.exempt(r) && s.Policy.Level(r.RuleInfo, nil, policy.Deny) > policy.Off {
			assessed[r.Factor] = true
		}
	}
	for _, c := range s.Policy.Custom() {
		if s.Policy.Level(c.RuleInfo, nil, policy.Deny) > policy.Off {
			assessed[c.RuleInfo.Factor] = true
		}
	}
	return assessed
}
