package policy

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ProfileLabel is the namespace label that may raise the level the policy sets, never lower it.
const ProfileLabel = "twelvefold.dev/profile"

// CheckProfileLabel says what is wrong with the label of a namespace, which has no effect then.
func CheckProfileLabel(labels map[string]string) error {
	text, given := labels[ProfileLabel]
	if !given {
		return nil
	}
	if _, err := ParseProfile(text); err != nil {
		return fmt.Errorf("%s: %w", ProfileLabel, err)
	}
	return nil
}

// Effective is a policy seen from one namespace.
type Effective struct {
	policy    *Policy
	namespace string
	settings  []Settings // from the most specific one
	params    map[string]any
	raise     Profile
	logs      []LogModes // from the most specific one
	byHand    bool       // see [Effective.ByHand]
	asked     []string

	Environment string // production, or whatever the policy calls it
}

// For is the policy as it holds for a namespace.
func (p *Policy) For(namespace string, labels map[string]string) *Effective {
	e := p.Within(slices.IndexFunc(p.doc.Spec.Namespaces, func(ns NamespaceSettings) bool { return ns.Match.matches(namespace, labels) }))
	e.namespace = namespace
	if raise, err := ParseProfile(labels[ProfileLabel]); err == nil {
		e.raise = raise
	}
	return e
}

// Within is the policy as it holds where the i-th of its namespace settings match first, or none of them for -1.
func (p *Policy) Within(i int) *Effective {
	e := &Effective{policy: p, params: p.params, settings: []Settings{p.doc.Spec.Settings}, logs: []LogModes{p.doc.Spec.Logs.LogModes}}
	if i >= 0 {
		ns := p.doc.Spec.Namespaces[i]
		e.Environment = ns.Environment
		e.params = p.ns[i]
		e.settings = []Settings{ns.Settings, p.doc.Spec.Settings}
		e.logs = []LogModes{ns.Logs, p.doc.Spec.Logs.LogModes}
	}
	return e
}

// Raised is the policy where a namespace's label raises it to a profile.
func (e *Effective) Raised(to Profile) *Effective {
	raised := *e
	raised.raise = to
	return &raised
}

// Hash identifies the policy.
func (e *Effective) Hash() string { return e.policy.hash }

// Spec is the policy's document.
func (e *Effective) Spec() *Spec { return &e.policy.doc.Spec }

// Namespace is the namespace that this is the policy of.
func (e *Effective) Namespace() string { return e.namespace }

// AllowedRequesters are user names (globs) that count as controllers.
func (e *Effective) AllowedRequesters() []string { return e.policy.doc.Spec.AllowedRequester }

// Ignored says whether a container is none of the team's.
func (e *Effective) Ignored(container string) bool {
	ignored := e.policy.doc.Spec.IgnoreContainers
	if ignored == nil {
		ignored = DefaultIgnoredContainers
	}
	return matchesAny(ignored, container) || matchesAny(DefaultIgnoredContainers[len(DefaultIgnoredContainers)-1:], container)
}

// Level is what a finding of a rule does here. A finding may have levels of its own, instead of the rule's: those hold
// unless the policy names the rule. highest bounds the result whatever the policy says.
func (e *Effective) Level(rule RuleInfo, own *Levels, highest Level) Level {
	levels := rule.Levels
	if own != nil {
		levels = *own
	}
	level := min(e.level(rule, levels), highest)
	level = max(level, min(e.raise.of(levels), highest))
	return min(level, e.policy.cap)
}

func (e *Effective) level(rule RuleInfo, levels Levels) Level {
	for _, s := range e.settings {
		if set := s.Rules[rule.ID]; set.Level != nil {
			return *set.Level
		}
		if level, set := s.Factors[rule.Factor]; set {
			return level
		}
		if s.Profile != nil {
			return s.Profile.of(levels)
		}
	}
	return ProfileBaseline.of(levels)
}

// LogMode is what is done here about a signal of logs, or in general where it is empty: off, audit, warn, repair or
// deny; empty where the policy doesn't say. What a namespace says of a signal or of all holds before what the policy says.
func (e *Effective) LogMode(signal string) string {
	for _, l := range e.logs {
		if mode := l.Signals[signal]; mode != "" {
			return mode
		}
		if l.Mode != "" {
			return l.Mode
		}
	}
	return ""
}

// Params are a rule's parameters: of the type of its defaults.
func (e *Effective) Params(rule RuleInfo) any {
	if p, ok := e.params[rule.ID]; ok {
		return p
	}
	return rule.Params
}

// Exempt is the exemption that covers a finding, or nil.
func (e *Effective) Exempt(f Finding, workload Workload, now time.Time) *Exemption {
	for i := range e.policy.doc.Spec.Exemptions {
		x := &e.policy.doc.Spec.Exemptions[i]
		if !x.expired(now) && matchesAny(x.Rules, f.Rule) && globOrAll(x.Namespace, e.namespace) &&
			x.isAbout(workload) && globOrAll(x.Container, f.Container) {
			return x
		}
	}
	return nil
}

// isAbout says whether an exemption is about a workload, or about the CronJob that made it.
func (x *Exemption) isAbout(w Workload) bool {
	cronJob, scheduled := w.CronJob()
	return globOrAll(x.Workload, w.String()) || scheduled && globOrAll(x.Workload, cronJob.String())
}

// Holds says whether an exemption holds still, for a rule.
func (x Exemption) Holds(rule string, now time.Time) bool {
	return !x.expired(now) && matchesAny(x.Rules, rule)
}

func (x Exemption) expired(now time.Time) bool { return !now.Before(x.End()) }

// End is when an exemption stops to hold: the end of its last day.
func (x Exemption) End() time.Time { return x.Expires.AddDate(0, 0, 1) }

// String says what is exempted from what: "host-network, host-port in edge, DaemonSet/proxy, container proxy".
func (x Exemption) String() string {
	text := strings.Join(x.Rules, ", ") + " in " + cmp.Or(x.Namespace, "*")
	if x.Workload != "" {
		text += ", " + x.Workload
	}
	if x.Container != "" {
		text += ", container " + x.Container
	}
	return text
}

func (m NamespaceMatch) matches(name string, labels map[string]string) bool {
	if len(m.Names) > 0 && !matchesAny(m.Names, name) {
		return false
	}
	return hasAll(labels, m.Labels)
}

// covers says whether it surely matches all that another does.
func (m NamespaceMatch) covers(other NamespaceMatch) bool {
	for _, name := range other.Names {
		if len(m.Names) > 0 && !slices.Contains(m.Names, name) && (!literal.MatchString(name) || !matchesAny(m.Names, name)) {
			return false
		}
	}
	return (len(m.Names) == 0 || len(other.Names) > 0) && hasAll(other.Labels, m.Labels)
}

// literal is a pattern that matches itself alone.
var literal = regexp.MustCompile(`^[-a-z0-9]*$`)

// Matches says whether a pod of a namespace is selected.
func (m PodMatch) Matches(namespace string, labels map[string]string) bool {
	if len(m.Namespaces) > 0 && !matchesAny(m.Namespaces, namespace) {
		return false
	}
	return hasAll(labels, m.Labels)
}

// Allows says whether a namespace may use the vault.
func (v Vault) Allows(namespace string) bool { return matchesAny(v.Namespaces, namespace) }

func hasAll(labels, want map[string]string) bool {
	for k, v := range want {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

func globOrAll(glob, name string) bool {
	ok, _ := path.Match(glob, name)
	return glob == "" || glob == "*" || ok
}
