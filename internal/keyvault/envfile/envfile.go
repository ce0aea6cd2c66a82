// Package envfile writes the file from which the kubelet takes environment variables (fileKeyRef, KEP-3721).
//
// Its format carries less than an environment does. What the kubelet would break, change in silence or leak is refused here,
// before anything is written: one bad line would hide every key after it. The limits were found by trying them on Kubernetes 1.37.
//
//	line = KEY "='" value "'" LF
//
// A value may hold any byte but those that [Refusal] lists, line feeds too.
//
// Where that is not enough, or the cluster is too old, the agent's exec hands the values over itself: see [EncodeExec] and [Expand].
package envfile

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
)

const (
	// maxLine is the first length, in bytes without the line feed, at which the kubelet's line scanner gives up.
	maxLine = 64 << 10
	// maxVariable is the most that execve takes as NAME=value with its final NUL (MAX_ARG_STRLEN), less = and NUL.
	maxVariable = 128<<10 - 2
	// maxTotal is the most that execve takes in all: a quarter of the usual stack limit of 8 MiB.
	maxTotal = 2 << 20
)

// Entry is one value for the file.
type Entry struct {
	Key      string // in the file: K0, K1, …
	EnvName  string // the longest environment variable that takes the value
	Secret   string // what to call the secret in messages
	Value    string
	Optional bool // an empty value is left out, which fileKeyRef's own optional forgives
}

// key is what can be found again in the file for certain.
var key = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Encode returns the file's content, or all the reasons, joined, why there can be none: a [*Refusal] for every value that doesn't fit,
// other errors for keys that are malformed or given twice.
func Encode(entries []Entry) ([]byte, error) {
	var out bytes.Buffer
	err := each(entries, check, func(e Entry) {
		if e.Value != "" { // an optional one: check refuses others
			fmt.Fprintf(&out, "%s='%s'\n", e.Key, e.Value)
		}
	})
	if err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// each calls add for every entry, or returns all that is wrong with them; check tells why a value does not fit.
func each(entries []Entry, check func(Entry) string, add func(Entry)) error {
	var (
		errs  []error
		total int
		seen  = map[string]bool{}
	)
	for _, e := range entries {
		switch {
		case !key.MatchString(e.Key):
			errs = append(errs, fmt.Errorf("env file: %q is no key", e.Key))
			continue
		case seen[e.Key]:
			errs = append(errs, fmt.Errorf("env file: key %s is given twice", e.Key))
			continue
		}
		seen[e.Key] = true
		if problem := check(e); problem != "" {
			errs = append(errs, &Refusal{Secret: e.Secret, EnvName: e.EnvName, Problem: problem, Exec: checkExec(e) == ""})
			continue
		}
		if total += len(e.EnvName) + len(e.Value) + len("=\x00"); total > maxTotal {
			errs = append(errs, &Refusal{Secret: e.Secret, EnvName: e.EnvName, Problem: "all values together exceed 2 MiB, the most that Linux hands to a process"})
			break
		}
		add(e)
	}
	return errors.Join(errs...)
}
