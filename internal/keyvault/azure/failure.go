package azure

import (
	"slices"
	"strings"
	"time"
)

// Kind is what a failure means to whoever has to mend it.
type Kind int

// The kinds of failure.
const (
	Configuration Kind = iota // the plan or the pod's identity is malformed or incomplete
	Denied                    // Azure refuses the identity
	Missing                   // no such secret or version
	Disabled                  // disabled, expired or not yet valid
	Unreachable               // no answer, or throttled, until the deadline
)

// Failure says which secret or identity could not be used, why, and what to do. It never holds a value.
type Failure struct {
	Kind    Kind
	Subject string // "secret db-password in vault shop.vault.azure.net"
	Problem string
	Fix     string

	temporary  bool
	retryAfter time.Duration
}

// Error is one line.
func (f *Failure) Error() string { return f.Subject + ": " + f.Problem + "; " + f.Fix }

// Temporary reports whether it may pass by itself, so that trying again later makes sense.
func (f *Failure) Temporary() bool { return f.temporary }

// RetryAfter is how long Azure asks to be left alone, or 0.
func (f *Failure) RetryAfter() time.Duration { return f.retryAfter }

// Failures are several.
type Failures []*Failure

// Error is one line each.
func (fs Failures) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// distinct drops nils and repetitions: what is wrong with the identity is wrong for every secret.
func (fs Failures) distinct() Failures {
	var out Failures
	for _, f := range fs {
		if f != nil && !slices.ContainsFunc(out, func(o *Failure) bool { return o.Error() == f.Error() }) {
			out = append(out, f)
		}
	}
	return out
}
