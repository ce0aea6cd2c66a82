package review

import (
	"regexp"

	"twelvefold.dev/internal/policy"
)

// ratchet lets pass what the old object had already: who changes one line must not have to mend all others first. Of a
// workload it warns, since its next pods will have it too.
func (s *Pod) ratchet(in Input, v Verdict, again func(Input) (Verdict, error)) (Verdict, error) {
	if in.Old == nil || len(v.Findings) == 0 {
		return v, nil
	}
	old, err := again(Input{Object: *in.Old, Policy: in.Policy, Facts: in.Facts, ServiceAccount: in.ServiceAccount})
	if err != nil {
		return v, nil //nolint:nilerr // an old object that can't be read excuses nothing
	}
	excused := excusedBy(old.Findings, v.Findings)
	kept := v.Findings[:0]
	for i, f := range v.Findings {
		if excused[i] {
			if !s.Facts.Template {
				continue
			}
			f.DeniesPods = f.Level == policy.Deny
			f.Level = min(f.Level, policy.Warn)
		}
		kept = append(kept, f)
	}
	v.Findings = kept
	return v, nil
}

// excusedBy says which findings are old ones. Each old one excuses one: that of the same place if there is one, else one that
// may have moved.
func excusedBy(old, findings []policy.Finding) []bool {
	placed, anywhere := map[fault]int{}, map[fault]int{}
	for _, f := range old {
		placed[faultAt(f)]++
		anywhere[faultAnywhere(f)]++
	}
	excused := make([]bool, len(findings))
	for i, f := range findings {
		if placed[faultAt(f)] > 0 {
			placed[faultAt(f)]--
			anywhere[faultAnywhere(f)]--
			excused[i] = true
		}
	}
	for i, f := range findings {
		if !excused[i] && anywhere[faultAnywhere(f)] > 0 {
			anywhere[faultAnywhere(f)]--
			excused[i] = true
		}
	}
	return excused
}

// fault is what two findings have in common that tell of the same mistake.
type fault struct{ rule, field, message string }

func faultAt(f policy.Finding) fault { return fault{f.Rule, f.Path, f.Message} }

// faultAnywhere is what stays of a finding when fields move: a port or an argument that is put before another, a container
// with a new name.
func faultAnywhere(f policy.Finding) fault {
	return fault{f.Rule, moving.ReplaceAllString(f.Path, "$1[]"), f.Message}
}

var moving = regexp.MustCompile(`([cC]ontainers)\[name="[^"]*"\]|\[[0-9]+\]`)
