// Package agent is the program that Twelvefold puts into users' pods: fetch, an init container that brings secrets from Key Vault,
// and tail, a native sidecar that brings log files to stdout.
//
// Both take their orders from the environment, as the webhook wrote them into the pod: names only. They log one JSON object per line
// on stderr. No value of a secret goes anywhere but into the files that fetch writes.
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
	Stdout, Stderr io.Writer
	Retry          azure.Retry      // the zero value has good defaults
	Now            func() time.Time // for the dates of secrets; default time.Now
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
			"there is no need to run them by hand.",
		SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.AddCommand(a.fetchCommand(log), a.tailCommand(log))
	root.SetArgs(args)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	return exitCode(root.ExecuteContext(ctx), log)
}

// exitCode maps an error to the exit code, and logs it if it isn't one of fetch, which has logged its own.
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
