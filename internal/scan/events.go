package scan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/policy"
)

const (
	tellAgain = 24 * time.Hour // about findings that are still the same
	maxEvents = 200            // in a pass: the other workloads have their turn in the next one
	maxRules  = 8              // named in an Event, which takes 1024 characters
)

// told is what the last Event on a workload was about.
type told struct {
	namespace string
	findings  string
	at        time.Time
}

// tell writes an Event on a workload that is denied or warned about, once a day unless its findings have changed.
func (s *Scanner) tell(p *pass, w workload) {
	loud := slices.DeleteFunc(slices.Clone(w.findings), func(f policy.Finding) bool { return f.Level < policy.Warn })
	if len(loud) == 0 {
		return
	}
	uid, now := w.object.GetUID(), s.Now()
	last, known := s.told[uid]
	current := digest(loud)
	if known && last.findings == current && now.Sub(last.at) < tellAgain {
		p.told[uid] = last
		return
	}
	if p.events == 0 {
		return
	}
	p.events--
	p.told[uid] = told{w.object.GetNamespace(), current, now}
	eventType := corev1.EventTypeNormal
	if slices.ContainsFunc(loud, func(f policy.Finding) bool { return f.Level == policy.Deny }) {
		eventType = corev1.EventTypeWarning
	}
	s.Recorder.Eventf(w.object, nil, eventType, "NotTwelveFactor", "Scan", "%s", note(w.object.GetNamespace(), loud))
}

// digest tells two lists of findings apart. Messages don't count: some tell a time.
func digest(findings []policy.Finding) string {
	return hash(findings, func(f policy.Finding) []string { return []string{f.Rule, f.Level.String(), f.Path} })
}

func hash(findings []policy.Finding, of func(policy.Finding) []string) string {
	sum := sha256.New()
	for _, f := range findings {
		fmt.Fprintf(sum, "%q\n", of(f))
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// note names the rules, the denying ones first. It does not say that the next pods will be denied: some rules look at what
// admission doesn't see.
func note(namespace string, findings []policy.Finding) string {
	counts := map[policy.Level]int{}
	var rules []string
	for _, level := range []policy.Level{policy.Deny, policy.Warn} {
		for _, f := range findings {
			if f.Level != level {
				continue
			}
			counts[level]++
			if rule := fmt.Sprintf("%s/%s", f.Factor, f.Rule); !slices.Contains(rules, rule) {
				rules = append(rules, rule)
			}
		}
	}
	more := ""
	if n := len(rules) - maxRules; n > 0 {
		rules, more = rules[:maxRules], fmt.Sprintf(" and %d more", n)
	}
	says := fmt.Sprintf("%d warned", counts[policy.Warn])
	if n := counts[policy.Deny]; n > 0 {
		says = fmt.Sprintf("the policy denies it: %d denied, %s", n, says)
	}
	return fmt.Sprintf("%s: %s%s (twelvefold explain RULE; twelvefold check --cluster -n %s shows fields and fixes)", says, strings.Join(rules, ", "), more, namespace)
}
