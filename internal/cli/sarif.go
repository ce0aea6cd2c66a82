package cli

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"twelvefold.dev/internal/explain"
	"twelvefold.dev/internal/policy"
)

// The types are the part of SARIF 2.1.0 that a check fills:
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool        sarifTool         `json:"tool"`
	Invocations []sarifInvocation `json:"invocations,omitempty"`
	ColumnKind  string            `json:"columnKind"`
	Results     []sarifResult     `json:"results"`
}

type sarifInvocation struct {
	Successful    bool                `json:"executionSuccessful"`
	Notifications []sarifNotification `json:"toolExecutionNotifications"`
}

type sarifNotification struct {
	Level   string    `json:"level"`
	Message sarifText `json:"message"`
}

type sarifTool struct {
	Driver struct {
		Name  string      `json:"name"`
		Rules []sarifRule `json:"rules"`
	} `json:"driver"`
}

type sarifRule struct {
	ID               string         `json:"id"`
	ShortDescription *sarifText     `json:"shortDescription,omitempty"`
	FullDescription  *sarifText     `json:"fullDescription,omitempty"`
	Help             *sarifText     `json:"help,omitempty"`
	Configuration    *sarifLevel    `json:"defaultConfiguration,omitempty"`
	Properties       map[string]any `json:"properties,omitempty"`
}

type sarifText struct {
	Text     string `json:"text"`
	Markdown string `json:"markdown,omitempty"`
}

type sarifLevel struct {
	Level string `json:"level"`
}

type sarifResult struct {
	RuleID       string            `json:"ruleId"`
	RuleIndex    int               `json:"ruleIndex"`
	Level        string            `json:"level"`
	Message      sarifText         `json:"message"`
	Locations    []sarifLocation   `json:"locations"`
	Fingerprints map[string]string `json:"partialFingerprints"`
}

type sarifLocation struct {
	Physical sarifPhysical  `json:"physicalLocation"`
	Logical  []sarifLogical `json:"logicalLocations"`
}

type sarifPhysical struct {
	Artifact struct {
		URI string `json:"uri"`
	} `json:"artifactLocation"`
	Region struct {
		StartLine int `json:"startLine"`
	} `json:"region"`
}

type sarifLogical struct {
	Name          string `json:"name"`
	QualifiedName string `json:"fullyQualifiedName,omitempty"`
	Kind          string `json:"kind"`
}

// maxResults is how many GitHub takes: of a file with more it takes none.
// https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning
const maxResults = 25_000

// sarif writes what code scanning reads. The rules are those that found something.
func (r report) sarif(w io.Writer) error {
	run := sarifRun{ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	findings := r.Findings
	if len(findings) > maxResults {
		findings = slices.Clone(findings)
		slices.SortStableFunc(findings, func(a, b located) int { return cmp.Compare(b.Level, a.Level) })
		findings = findings[:maxResults]
		run.Invocations = []sarifInvocation{{true, []sarifNotification{{"warning",
			sarifText{Text: fmt.Sprintf("%d findings, of which these are the %d that weigh most: code scanning takes no more", len(r.Findings), maxResults)}}}}}
	}
	run.Tool.Driver.Name = "Twelvefold"
	rules, index := sarifRules(findings)
	run.Tool.Driver.Rules = rules
	fingerprints := map[string]int{}
	for _, f := range findings {
		result := sarifResult{
			RuleID:    f.Rule,
			RuleIndex: index[f.Rule],
			Level:     sarifLevelOf(f.Level),
			Message:   sarifText{Text: strings.TrimSuffix(fmt.Sprintf("%s/%s %s: %s; %s", f.Object.Kind, f.Object.Name, f.Path, f.Message, f.Fix), "; ")},
			Locations: []sarifLocation{f.sarifLocation()},
		}
		print := f.fingerprint()
		fingerprints[print]++ // a rule may find two things in one field
		print = fmt.Sprintf("%s:%d", print, fingerprints[print])
		result.Fingerprints = map[string]string{"twelvefold/v1": print}
		if f.File == "" { // the name that GitHub knows; of a file it makes its own from the lines
			result.Fingerprints["primaryLocationLineHash"] = print
		}
		run.Results = append(run.Results, result)
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}})
}

// sarifRules describes the rules of the findings, and says at which index each stands.
func sarifRules(findings []located) (rules []sarifRule, index map[string]int) {
	rules, index = []sarifRule{}, map[string]int{}
	found := map[string]bool{}
	for _, f := range findings {
		found[f.Rule] = true
	}
	add := func(id string, make func() sarifRule) {
		if _, there := index[id]; found[id] && !there {
			index[id] = len(rules)
			rules = append(rules, make())
		}
	}
	for _, t := range explain.Topics() {
		add(t.ID, func() sarifRule {
			rule := sarifRule{
				ID:               t.ID,
				ShortDescription: &sarifText{Text: t.Title},
				FullDescription:  &sarifText{Text: cmp.Or(t.Why, t.Title)},
				Help:             &sarifText{Text: t.Text(), Markdown: t.Markdown()},
				Properties:       map[string]any{"factor": t.Factor, "tags": []string{"twelve-factor", "factor " + string(t.Factor)}},
			}
			if t.Levels != nil {
				rule.Configuration = &sarifLevel{sarifLevelOf(t.Levels.Baseline)}
			}
			return rule
		})
	}
	for _, f := range findings { // rules of the policy's own have no page
		add(f.Rule, func() sarifRule {
			return sarifRule{ID: f.Rule, Properties: map[string]any{"factor": f.Factor}}
		})
	}
	return rules, index
}

func sarifLevelOf(l policy.Level) string {
	switch l {
	case policy.Deny:
		return "error"
	case policy.Warn:
		return "warning"
	case policy.Off:
		return "none"
	}
	return "note"
}

// sarifLocation is the finding's place. SARIF's readers want a file: an object of a cluster has one by its name,
// cluster/NAMESPACE/Kind/name.yaml, which exists nowhere.
func (f located) sarifLocation() sarifLocation {
	var l sarifLocation
	l.Physical.Artifact.URI = uriOf(f.File)
	if f.File == "" {
		l.Physical.Artifact.URI = uriOf(path.Join("cluster", f.Object.String()+".yaml"))
	}
	l.Physical.Region.StartLine = max(f.Line, 1)
	l.Logical = []sarifLogical{{Name: f.Object.Name, Kind: "resource",
		QualifiedName: strings.Join([]string{f.Object.Namespace, f.Object.Kind, f.Object.Name, f.Path}, "/")}}
	if f.Source != "" {
		l.Logical = append(l.Logical, sarifLogical{Name: f.Source, Kind: "template"})
	}
	return l
}

// uriOf is a file's URI: relative, as code scanning wants it, unless the file was named from the root.
func uriOf(file string) string {
	u := url.URL{Path: filepath.ToSlash(filepath.Clean(file))}
	if filepath.IsAbs(file) {
		u.Scheme = "file"
		u.Path = "/" + strings.TrimPrefix(u.Path, "/")
	}
	return u.String()
}

// fingerprint knows a finding again when its line has moved.
func (f located) fingerprint() string {
	hash := sha256.New()
	for _, part := range []string{f.Rule, filepath.ToSlash(f.File), f.Object.APIVersion, f.Object.Kind, f.Object.Namespace, f.Object.Name, f.Path} {
		fmt.Fprintf(hash, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}
