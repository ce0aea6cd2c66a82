package review

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
)

// LoadPolicy reads a policy and runs the policy's own tests: what fails them must not take effect.
func LoadPolicy(data []byte, catalogue policy.Catalogue) (*policy.Policy, error) {
	p, err := policy.Parse(data, catalogue)
	if err != nil {
		return nil, err
	}
	if err := TestPolicy(p); err != nil {
		return nil, err
	}
	return p, nil
}

// TestPolicy runs the samples of a policy. Each is judged as a pod that a controller makes, on a new cluster.
func TestPolicy(p *policy.Policy) error {
	var errs []error
	for i, test := range p.Spec().Tests {
		fail := func(format string, args ...any) {
			where := ""
			if line := p.TestLine(i); line > 0 {
				where = fmt.Sprintf("line %d: ", line)
			}
			errs = append(errs, fmt.Errorf("policy: %stest %q: %s", where, test.Name, fmt.Sprintf(format, args...)))
		}
		input := Input{
			Object: manifest.Object{APIVersion: "v1", Kind: "Pod", JSON: []byte(test.Pod)},
			Policy: p,
			Facts: policy.Facts{Namespace: test.Namespace, NamespaceLabels: test.Labels, Kubernetes: policy.Kubernetes{APIServer: policy.NewestKubernetes}, Requester: "system:kube-controller-manager",
				Now: time.Time{}, AgentImage: "twelvefold-agent", Offline: true},
		}
		verdict, err := Full(input)
		if err != nil {
			fail("%v", err)
			continue
		}
		found := map[policy.Level][]string{}
		for _, f := range verdict.Findings {
			found[f.Level] = append(found[f.Level], f.Rule)
		}
		for _, rule := range test.Expect.Deny {
			if !slices.Contains(found[policy.Deny], rule) {
				fail("%s should deny, and doesn't%s", rule, repaired(input, rule))
			}
		}
		for _, rule := range test.Expect.Warn {
			if !slices.Contains(found[policy.Warn], rule) {
				fail("%s should warn, and doesn't%s", rule, repaired(input, rule))
			}
		}
		for _, rule := range found[policy.Deny] {
			if !slices.Contains(test.Expect.Deny, rule) {
				fail("%s denies it, which is not expected", rule)
			}
		}
	}
	return errors.Join(errs...)
}

// repaired says that a rule is silent because what it found is repaired, or nothing.
func repaired(in Input, rule string) (note string) {
	if pod, err := Open(in); err == nil && pod != nil {
		rules.Mend(pod.Edit, pod.Policy, pod.Facts, func(r *rules.Rule, _ rules.Repaired) {
			if r.ID == rule {
				note = ", for it is repaired: see repair: false"
			}
		})
	}
	return note
}
