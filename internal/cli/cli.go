// Package cli is the command line: the webhook's engine, for manifests and for what a cluster runs. Exit status: 0 nothing
// denied, 1 something denied, 2 bad usage or input that can't be read.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// errDenied ends a command with status 1; what was denied, or differs, has been printed.
var errDenied = errors.New("denied")

// Main runs a command and returns its exit status.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := command()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	switch err := root.ExecuteContext(context.Background()); {
	case err == nil:
		return 0
	case errors.Is(err, errDenied):
		return 1
	default:
		fmt.Fprintf(stderr, "%s: %v\n", root.CommandPath(), err)
		return 2
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:   "twelvefold",
		Short: "Twelve-factor pods on Azure: the webhook's engine on the command line",
		Long: "Twelvefold makes pods twelve-factor pods: secrets from Azure Key Vault, metrics for Prometheus, logs on stdout,\n" +
			"and a readable refusal of what is not twelve-factor. This is the engine of its admission webhook, for manifests and for what\n" +
			"a cluster runs.\n\n" +
			"Exit status: 0 nothing is denied, 1 something is denied, 2 bad usage or input that can't be read.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w\nSee '%s --help'", err, c.CommandPath())
	})
	root.AddCommand(checkCommand(), reportCommand(), mutateCommand(), fixCommand(), replayCommand(), parityCommand(), explainCommand(), policyCommand(), exportCommand(), demoCommand())
	if strings.HasPrefix(filepath.Base(os.Args[0]), "kubectl-") {
		makePlugin(root)
	}
	return root
}

// makePlugin has the help and the errors name the command as those call it who have it as a plugin of kubectl.
func makePlugin(root *cobra.Command) {
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl twelvefold"}
	var rename func(c *cobra.Command)
	rename = func(c *cobra.Command) {
		for _, before := range []string{"  ", "| "} { // not file names
			c.Example = strings.ReplaceAll(c.Example, before+"twelvefold ", before+"kubectl twelvefold ")
		}
		for _, sub := range c.Commands() {
			rename(sub)
		}
	}
	rename(root)
}
