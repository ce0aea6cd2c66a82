package policy

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Level says what a finding does. Levels are ordered: a higher one is stricter.
type Level int

const (
	Off   Level = iota // not looked at
	Audit              // metrics and reports only
	Warn               // an admission warning
	Deny               // the request is refused
)

var levelNames = []string{"off", "audit", "warn", "deny"}

func (l Level) String() string { return levelNames[l] }

// MarshalText makes the level readable in JSON.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// ParseLevel is the inverse of [Level.String].
func ParseLevel(s string) (Level, error) {
	if i := slices.Index(levelNames, s); i >= 0 {
		return Level(i), nil
	}
	return 0, fmt.Errorf("unknown level %q; one of %s", s, strings.Join(levelNames, ", "))
}

// UnmarshalYAML takes an unquoted off as off, although YAML 1.1 reads it as a boolean.
func (l *Level) UnmarshalYAML(n *yaml.Node) error {
	return readWord(n, l, ParseLevel)
}

// readWord reads a scalar as it was written: YAML 1.1 reads an unquoted off as false.
func readWord[T any](n *yaml.Node, into *T, parse func(string) (T, error)) (err error) {
	if n.Kind != yaml.ScalarNode {
		return lineError(n, fmt.Errorf("want a word, not %s", shapes[n.ShortTag()]))
	}
	word := n.Value
	if n.Tag == "!!bool" && word == "false" {
		word = "off"
	}
	if *into, err = parse(word); err != nil {
		return lineError(n, err)
	}
	return nil
}

// Levels are a rule's default levels, one for each profile that tells rules apart.
type Levels struct {
	Baseline, Strict Level
}

// At are levels that are the same in baseline and strict.
func At(l Level) Levels { return Levels{l, l} }

// Profile sets the default level of every rule.
type Profile int

const (
	ProfileOff      Profile = iota // no rules
	ProfileAudit                   // every rule audits
	ProfileBaseline                // the levels of the catalogue
	ProfileStrict                  // and what is marked for it denies
)

var profileNames = []string{"off", "audit", "baseline", "strict"}

func (p Profile) String() string { return profileNames[p] }

// ParseProfile is the inverse of [Profile.String].
func ParseProfile(s string) (Profile, error) {
	if i := slices.Index(profileNames, s); i >= 0 {
		return Profile(i), nil
	}
	return 0, fmt.Errorf("unknown profile %q; one of %s", s, strings.Join(profileNames, ", "))
}

// UnmarshalYAML takes an unquoted off as off, as [Level.UnmarshalYAML] does.
func (p *Profile) UnmarshalYAML(n *yaml.Node) error {
	return readWord(n, p, ParseProfile)
}

// of is the level that the profile gives a rule.
func (p Profile) of(l Levels) Level {
	switch p {
	case ProfileAudit:
		return min(l.Baseline, Audit)
	case ProfileBaseline:
		return l.Baseline
	case ProfileStrict:
		return l.Strict
	}
	return Off
}

// Factor is one of the twelve, by its Roman numeral: https://12factor.net.
type Factor string

// Factors are all twelve, in order.
var Factors = []Factor{"I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"}

var factorTitles = []string{"Codebase", "Dependencies", "Config", "Backing services", "Build, release, run", "Processes",
	"Port binding", "Concurrency", "Disposability", "Dev/prod parity", "Logs", "Admin processes"}

// Title is the factor's name: "Config" for III.
func (f Factor) Title() string {
	if i := slices.Index(Factors, f); i >= 0 {
		return factorTitles[i]
	}
	return ""
}

// UnmarshalYAML refuses what is no factor.
func (f *Factor) UnmarshalYAML(n *yaml.Node) error {
	return readWord(n, f, func(word string) (Factor, error) {
		if !slices.Contains(Factors, Factor(word)) {
			return "", fmt.Errorf("unknown factor %q; I to XII", word)
		}
		return Factor(word), nil
	})
}
