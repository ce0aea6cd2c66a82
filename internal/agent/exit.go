package agent

import (
	"errors"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/azure"
	"twelvefold.dev/internal/keyvault/envfile"
)

// The exit codes. They are part of the contract with users, whose alerts may tell the cases apart.
const (
	ExitOK            = 0
	ExitInternal      = 1  // a bug of ours; in tail, stdout failed
	ExitConfiguration = 10 // the plan, the identity's settings or the pod's volumes are wrong
	ExitDenied        = 11 // Azure refuses the identity
	ExitMissing       = 12 // a secret or version does not exist
	ExitDisabled      = 13 // a secret is disabled, expired or not yet valid
	ExitUnreachable   = 14 // no answer from Azure, or throttled, until the deadline
	ExitUndeliverable = 15 // the env file cannot carry a value

	ExitRestart = keyvault.ExitRestart // sync: all containers are to be restarted; the webhook's restartPolicyRules name it

	ExitCannotRun = 126 // exec: the command is no program, or may not be run; as in shells
	ExitNotFound  = 127 // exec: there is no such command
)

// exitError ends the program with a code. What was wrong has been said already.
type exitError struct {
	error
	code int
}

func (e *exitError) Unwrap() error { return e.error }

// codeOf returns the exit code for an error of fetch: the smallest of those that its parts stand for,
// so that what a person must mend comes before what time may.
func codeOf(err error) int {
	var failures azure.Failures
	if errors.As(err, &failures) {
		code := ExitUndeliverable
		for _, f := range failures {
			code = min(code, codeOfKind(f.Kind))
		}
		return code
	}
	var failure *azure.Failure
	if errors.As(err, &failure) {
		return codeOfKind(failure.Kind)
	}
	var refusal *envfile.Refusal
	if errors.As(err, &refusal) {
		return ExitUndeliverable
	}
	return ExitConfiguration
}

func codeOfKind(k azure.Kind) int {
	switch k {
	case azure.Denied:
		return ExitDenied
	case azure.Missing:
		return ExitMissing
	case azure.Disabled:
		return ExitDisabled
	case azure.Unreachable:
		return ExitUnreachable
	}
	return ExitConfiguration
}
