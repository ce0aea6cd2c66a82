package cli

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"twelvefold.dev/internal/policy"
)

type junitSuites struct {
	XMLName  xml.Name      `xml:"testsuites"`
	Name     string        `xml:"name,attr"`
	Tests    int           `xml:"tests,attr"`
	Failures int           `xml:"failures,attr"`
	Suites   []*junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	File    string        `xml:"file,attr,omitempty"`
	Line    int           `xml:"line,attr,omitempty"`
	Failure *junitFailure `xml:"failure"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// junit writes what CI systems show as tests: a suite for each file, or of a cluster for each namespace; a case for each
// object, with one failure for all that denies it, since not every reader takes several.
func (r report) junit(w io.Writer) error {
	all := junitSuites{Name: "twelvefold check"}
	byFile := map[string]*junitSuite{}
	for _, o := range r.objects {
		name := cmp.Or(o.object.File, o.identity.Namespace)
		suite := byFile[name]
		if suite == nil {
			suite = &junitSuite{Name: name}
			byFile[name] = suite
			all.Suites = append(all.Suites, suite)
		}
		result := junitCase{Name: o.identity.Kind + "/" + o.identity.Name, Class: o.identity.Namespace, File: o.object.File, Line: o.object.Line}
		denied, warned := o.lines(policy.Deny), o.lines(policy.Warn)
		if len(denied) > 0 {
			result.Failure = &junitFailure{Message: fmt.Sprintf("%d denied: %s", len(denied), o.rules(policy.Deny)), Type: "deny", Text: strings.Join(denied, "\n")}
			suite.Failures++
			all.Failures++
		}
		result.Out = strings.Join(warned, "\n")
		suite.Tests++
		all.Tests++
		suite.Cases = append(suite.Cases, result)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// lines are the findings of a level, a line each.
func (o judged) lines(level policy.Level) (lines []string) {
	for _, f := range o.findings {
		if f.Level == level {
			place := f.Object.String()
			if f.File != "" {
				place = fmt.Sprintf("%s:%d", f.File, f.Line)
			}
			lines = append(lines, fmt.Sprintf("%s: %s %s", place, f.Level, f.Finding))
		}
	}
	return lines
}

// rules are the rules that found something at a level, once each.
func (o judged) rules(level policy.Level) string {
	var names []string
	seen := map[string]bool{}
	for _, f := range o.findings {
		if name := string(f.Factor) + "/" + f.Rule; f.Level == level && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
