package policy

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Repairable says whether a rule can mend what it finds, and who has it done.
type Repairable int

const (
	NotRepaired Repairable = iota
	OnRequest              // the repair may change how an app behaves: only where the policy asks for it
	ByDefault              // it can't change that for the worse: done wherever baseline or strict is in force
)

func (r Repairable) String() string { return []string{"", "on request", "by default"}[r] }

// Repairs says whether a rule's repair is made here. An audit changes nothing, unless the policy asks for the repair by
// its rule's name; what is off is not looked at at all.
func (e *Effective) Repairs(rule RuleInfo) bool {
	if rule.Repair == NotRepaired || e.Level(rule, nil, Deny) == Off {
		return false
	}
	if slices.Contains(e.asked, rule.ID) {
		return true
	}
	for _, s := range e.settings {
		if set := s.Rules[rule.ID].Repair; set != nil {
			return *set
		}
	}
	return rule.Repair == ByDefault && (e.byHand || e.profile() >= ProfileBaseline)
}

// ByHand is the policy for somebody who repairs manifests and looks at the result: what is done by default is done in
// every profile, and so are the repairs asked for by the names of their rules.
func (e *Effective) ByHand(asked []string) *Effective {
	byHand := *e
	byHand.byHand, byHand.asked = true, asked
	return &byHand
}

// IsByHand says whether this is a policy made by [Effective.ByHand].
func (e *Effective) IsByHand() bool { return e.byHand }

// profile is the one in force.
func (e *Effective) profile() Profile {
	for _, s := range e.settings {
		if s.Profile != nil {
			return max(*s.Profile, e.raise)
		}
	}
	return ProfileBaseline
}

// checkRepair refuses to ask for what there is not.
func (p *Policy) checkRepair(rule RuleInfo, setting RuleSetting, where *yaml.Node, fail failFunc) {
	if setting.Repair != nil && rule.Repair == NotRepaired {
		fail(where, "rule %s has no repair; these have one: %s", rule.ID, strings.Join(p.rules.Repairable(), ", "))
	}
}
