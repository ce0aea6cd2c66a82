package review

import (
	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/mutate"
)

// Rollout is what the pods of a workload get from Key Vault, if the workload shall be rolled out when it changes, and if its
// pods would be admitted; else nothing.
func Rollout(in Input) ([]keyvault.Reference, error) {
	s, err := Open(in)
	if err != nil || s == nil || !mutate.RollsOut(s.Edit.Pod(), s.Policy.Spec().KeyVault) {
		return nil, err
	}
	v := s.mutate(in)
	v.Findings = append(v.Findings, s.judge()...)
	if v.Denied() {
		return nil, nil
	}
	plan := mutate.PlanOf(s.Edit.Pod())
	var all []keyvault.Reference
	for _, e := range plan.Env {
		all = append(all, e.Reference)
	}
	for _, f := range plan.Files {
		all = append(all, f.Reference)
	}
	return all, nil
}
