package policy_test

import (
	"strings"
	"testing"
	"time"

	"twelvefold.dev/internal/policy"
)

// An expired exemption never makes a policy invalid: it warns, and has no effect.
func TestWarnings(t *testing.T) {
	p := parse(t, "  exemptions:\n  - {rules: [denies], reason: r, owner: team-shop, expires: 2026-11-01}\n  - {rules: [rises], reason: r, owner: o, expires: 2027-01-01}\n")
	if got := p.Warnings(time.Date(2026, 11, 1, 23, 0, 0, 0, time.UTC)); len(got) > 0 {
		t.Errorf("warnings %q on its last day", got)
	}
	got := p.Warnings(time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC))
	want := "spec.exemptions[0] of team-shop expired on 2026-11-01 and has no effect"
	if len(got) != 1 || got[0] != want {
		t.Errorf("warnings %q; want %q", got, want)
	}
}

// The first entry that matches counts, so one behind another that matches more is dead.
func TestWarningsOfNamespaces(t *testing.T) {
	for match, want := range map[string]int{
		`{names: [prod-a]}`:                          1,
		`{names: ["prod-*"], labels: {tier: prod}}`:  1,
		`{names: [prod-a, dev]}`:                     0,
		`{names: ["*-a"]}`:                           0,
		`{labels: {tier: prod}}`:                     0,
		`{names: [shop], labels: {tier: dev, a: b}}`: 1,
		`{}`: 0,
	} {
		p := parse(t, "  namespaces: [{match: {names: [\"prod-*\"]}}, {match: {labels: {tier: dev}}}, {match: "+match+"}]\n")
		if got := p.Warnings(time.Time{}); len(got) != want {
			t.Errorf("%s: %q", match, got)
		}
	}
	want := "spec.namespaces[1] has no effect: spec.namespaces[0] stands before it and matches all that it does"
	if got := parse(t, "  namespaces: [{}, {match: {names: [a]}}]\n").Warnings(time.Time{}); len(got) != 1 || got[0] != want {
		t.Errorf("%q; want %q", got, want)
	}
}

// The API server drops a warning with control characters, and cuts a long one.
func TestFindingWarning(t *testing.T) {
	f := policy.Finding{Rule: "denies", Factor: "V", Path: "spec.a", Message: "seen", Fix: "write:\n\tb: \"c\""}
	if got, want := f.String(), "V/denies spec.a: seen; write (twelvefold explain denies):\n\tb: \"c\""; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := f.Warning(), `V/denies spec.a: seen; write (twelvefold explain denies): b: "c"`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	f.Fix = strings.Repeat("x", 100)
	if got, want := f.Warning(), "V/denies spec.a: seen (twelvefold explain denies)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	f.Message = strings.Repeat("y", 100) // too long for 120 anyway, so the fix need not be left out
	if got, want := f.Warning(), "V/denies spec.a: "+f.Message+"; "+f.Fix+" (twelvefold explain denies)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	f.Fix = strings.Repeat("x", 200)
	if got, want := f.Warning(), "V/denies spec.a: "+f.Message+" (twelvefold explain denies)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	f.Message = strings.Repeat("ü", 400)
	if got := []rune(f.Warning()); len(got) != 256 {
		t.Errorf("%d runes: %s", len(got), string(got))
	}
}

func TestLevelNames(t *testing.T) {
	for _, l := range []policy.Level{policy.Off, policy.Audit, policy.Warn, policy.Deny} {
		if got, err := policy.ParseLevel(l.String()); err != nil || got != l {
			t.Errorf("%v: %v, %v", l, got, err)
		}
	}
	for _, p := range []policy.Profile{policy.ProfileOff, policy.ProfileAudit, policy.ProfileBaseline, policy.ProfileStrict} {
		if got, err := policy.ParseProfile(p.String()); err != nil || got != p {
			t.Errorf("%v: %v, %v", p, got, err)
		}
	}
	if policy.Factor("III").Title() != "Config" || policy.Factor("XIII").Title() != "" {
		t.Error("titles of factors")
	}
}
