package rules_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
)

// Every rule has fixtures that pass and fixtures that fail. Beside a failing one stands what the rule says to it.
func TestFixtures(t *testing.T) {
	for _, rule := range rules.All() {
		t.Run(rule.ID, func(t *testing.T) {
			for _, file := range reviewtest.Files(t, filepath.Join("testdata", rule.ID, "pass", "*.yaml")) {
				if found := findings(t, file, rule.ID); len(found) > 0 {
					t.Errorf("%s must pass:\n%s", file, found)
				}
			}
			for _, file := range reviewtest.Files(t, filepath.Join("testdata", rule.ID, "fail", "*.yaml")) {
				found := findings(t, file, rule.ID)
				if len(found) == 0 {
					t.Errorf("%s must fail", file)
				}
				reviewtest.Golden(t, strings.TrimSuffix(file, ".yaml")+".txt", found)
			}
		})
	}
}

// findings are those of one rule, a paragraph each.
func findings(t *testing.T, file, rule string) []byte {
	t.Helper()
	var text bytes.Buffer
	for _, input := range reviewtest.AsWritten(t, reviewtest.Load(t, file)) {
		verdict, err := review.Full(input)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, f := range verdict.Findings {
			if f.Rule == rule {
				fmt.Fprintf(&text, "%s %s\n", f.Level, f)
			}
		}
	}
	return text.Bytes()
}

func TestNoStaleFixtures(t *testing.T) {
	for _, file := range reviewtest.Files(t, filepath.Join("testdata", "*", "*", "*")) {
		rule := filepath.Base(filepath.Dir(filepath.Dir(file)))
		if _, known := rules.Find(rule); !known {
			t.Errorf("%s: there is no rule %s", file, rule)
		}
		input := strings.TrimSuffix(file, ".txt") + ".yaml"
		if _, err := os.Stat(input); strings.HasSuffix(file, ".txt") && err != nil {
			t.Errorf("%s has no fixture: %v", file, err)
		}
	}
}

func TestFilesAreNamedAfterTheirRules(t *testing.T) {
	for _, rule := range rules.All() {
		name := strings.ToLower(string(rule.Factor)) + "_" + strings.ReplaceAll(rule.ID, "-", "_") + ".go"
		if _, err := os.Stat(name); err != nil {
			t.Errorf("rule %s: %v", rule.ID, err)
		}
	}
}

// Strict is never weaker than baseline.
func TestLevelsRise(t *testing.T) {
	for _, rule := range rules.All() {
		if rule.Levels.Strict < rule.Levels.Baseline || rule.Levels.Baseline == policy.Off {
			t.Errorf("rule %s: levels %v", rule.ID, rule.Levels)
		}
	}
}
