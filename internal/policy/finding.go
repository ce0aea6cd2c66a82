package policy

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Finding is one violation of one rule at one place. Its texts never hold a secret's value.
type Finding struct {
	Rule    string `json:"rule"`
	Factor  Factor `json:"factor"`
	Level   Level  `json:"level"`
	Path    string `json:"path"`    // the field: spec.containers[name="api"].image
	Message string `json:"message"` // what was seen
	Fix     string `json:"fix"`     // what to write instead, ready to copy where that can be

	// Container is the container that it is about, if it is about one; exemptions can name it.
	Container string `json:"-"`
	// OfWorkload says that the path is a field of the workload, not of its pod.
	OfWorkload bool `json:"-"`
	// DeniesPods says that the update of a workload is let pass, since its old template was no better, and that its next pods
	// will be denied all the same.
	DeniesPods bool `json:"-"`
	// Custom says that the rule is the policy's own, so that only who has the policy can explain it.
	Custom bool `json:"-"`
}

// String is the finding as people read it, on one line or, where the fix is a snippet, on two.
func (f Finding) String() string {
	return fmt.Sprintf("%s/%s %s: %s", f.Factor, f.Rule, f.Path, f.body())
}

// Cause is the finding without its path, for a list that prints the path itself.
func (f Finding) Cause() string {
	return fmt.Sprintf("%s/%s: %s", f.Factor, f.Rule, f.body())
}

// body ends in the snippet, if the fix has one, so that whole lines can be copied.
func (f Finding) body() string {
	fix, snippet, _ := strings.Cut(f.Fix, ":\n")
	text := f.Message
	if fix != "" {
		text += "; " + fix
	}
	text += " (" + f.source() + ")"
	if snippet != "" {
		text += ":\n" + snippet
	}
	return text
}

// source is where there is more about the rule.
func (f Finding) source() string {
	if f.Custom {
		return "a rule of this cluster's policy"
	}
	return "twelvefold explain " + f.Rule
}

const (
	warningGoal = 120 // what the Kubernetes documentation asks for
	warningMax  = 256 // what the API server leaves uncut
)

// Warning is the finding on one line that the API server delivers: no control characters, 256 runes at most. Where 120 are
// enough without the fix, that is left to `twelvefold explain`; else it is told as long as it fits. A grave one is
// about a workload whose pods will be denied.
func (f Finding) Warning() string {
	prefix := ""
	if f.Grave() {
		prefix = "its pods will be denied: "
	}
	full := OneLine(prefix + f.String())
	short := OneLine(fmt.Sprintf("%s%s/%s %s: %s (%s)", prefix, f.Factor, f.Rule, f.Path, f.Message, f.source()))
	switch n := utf8.RuneCountInString(short); {
	case utf8.RuneCountInString(full) <= warningGoal, n > warningGoal && utf8.RuneCountInString(full) <= warningMax:
		return full
	case n > warningMax:
		return string([]rune(short)[:warningMax-1]) + "…"
	}
	return short
}

// Grave says that pods are denied for it.
func (f Finding) Grave() bool { return f.Level == Deny || f.DeniesPods }

// OneLine folds white space and control characters to single blanks: the API server drops a warning that has any
// (apimachinery's net.NewWarningHeader).
func OneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || (0x80 <= r && r < 0xa0) }), " ")
}
