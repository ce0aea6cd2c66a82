package agent

import (
	"context"
	"strings"
	"time"

	"twelvefold.dev/internal/keyvault"
)

// fetch is one run of the fetch command. It may run any number of times in the same volumes: restarted pods do.
type fetch struct {
	delivery
	deadline       time.Duration
	terminationLog string
}

// run reports failures in the log and the termination message; its error is for the exit code only.
func (f *fetch) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.deadline)
	defer cancel()
	plan, err := f.plan()
	if err == nil {
		err = f.deliver(ctx, plan)
	}
	if err == nil {
		return nil
	}
	lines := strings.Split(err.Error(), "\n")
	for _, line := range lines {
		f.log.Error("failed", "problem", line)
	}
	if f.Env(keyvault.RotationEnv) == keyvault.RotateByRestart && f.isInPlace(plan) {
		f.log.Warn("keeping what an earlier run delivered")
		return nil
	}
	if err := writeTerminationMessage(f.terminationLog, "fetch", lines); err != nil {
		f.log.Warn("cannot write the termination message", "error", err.Error())
	}
	return &exitError{err, codeOf(err)}
}

// deliver gets all values, checks all, and only then writes.
func (f *fetch) deliver(ctx context.Context, plan keyvault.Plan) error {
	client, err := f.client(f.log)
	if err != nil {
		return err
	}
	contents, err := client.Fetch(ctx, referencesOf(plan))
	if err != nil {
		return err
	}
	out, err := payloadOf(plan, contents)
	if err != nil {
		return err
	}
	if err := f.write(plan, out); err != nil {
		return err
	}
	if err := f.note(plan, versionsOf(contents)); err != nil {
		return volumeError("twelvefold-state", err)
	}
	f.log.Info("delivered", "env", len(plan.Env), "files", len(plan.Files))
	return nil
}
