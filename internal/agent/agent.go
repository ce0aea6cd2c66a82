// Package agent is the program that Twelvefold puts into users' pods: fetch, an init container that brings secrets from Key Vault,
// sync, a native sidecar that keeps them fresh, exec, which hands them to a command as environment variables where the kubelet can't,
// tail, a native sidecar that brings log files to stdout, link, an init container that makes links to stdout of them, and merge, a
// sidecar that serves the metrics of several endpoints as one.
//
// They take their orders from the environment, as the webhook wrote them into the pod: names only. They log one JSON object per line
// on stderr. No value of a secret goes anywhere but into the files that fetch and sync write, and into the environment of what exec runs.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"twelvefold.dev/internal/keyvault/azure"
)

// Agent is the program's surroundings.
type Agent struct {
	Env            func(name string) string // os.Getenv
	Environ        func() []string          // what exec hands on; default os.Environ
	Stdout, Stderr io.Writer
	Retry          azure.Retry      // the zero value has good defaults
	Now            func() time.Time // for the dates of secrets and the times of restarts; default time.Now
	// Sleep waits between the polls of sync, and reports false if ctx ended before; default a timer.
	Sleep func(ctx context.Context, d time.Duration) bool
	// Harden keeps the process out of core dumps before it holds values; default nothing, since the process may be more than the agent.
	Harden func() error
}

// harden is for commands that hold values in a process of their own.
func (a *Agent) harden(log *slog.Logger) {
	if a.Harden == nil {
		return
	}
	if err := a.Harden(); err != nil {
		log.Warn("a core dump of this process would hold secrets", "error", err.Error())
	}
}

// Run executes the command line, without the program's name, until it is done or ctx ends. It returns the exit code.
func (a *Agent) Run(ctx context.Context, args []string) (code int) {
	log := slog.New(slog.NewJSONHandler(a.Stderr, nil))
	defer func() {
		if p := recover(); p != nil { // a panic's message might hold a value; the stack holds addresses only
			log.Error("internal error", "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			code = ExitInternal
		}
	}()
	root := &cobra.Command{
		Use:   "twelvefold-agent",
		Short: "What Twelvefold runs inside pods",
		Long: "What Twelvefold runs inside pods. The webhook adds these containers to pods and writes their settings;\n" +
			"there is no need to run them by hand. Each command's own help lists its exit codes.",
		SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.AddCommand(a.fetchCommand(log), a.syncCommand(log), a.execCommand(log), a.tailCommand(log), a.linkCommand(log), a.mergeCommand(log))
	root.SetArgs(args)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	return exitCode(root.ExecuteContext(ctx), log)
}

// exitCode maps an error to the exit code, and logs it if it has not been logged yet.
func exitCode(err error, log *slog.Logger) int {
	var exit *exitError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &exit):
		return exit.code
	}
	log.Error("cannot run", "error", err.Error())
	return ExitConfiguration
}
