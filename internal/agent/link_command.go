package agent

import (
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"twelvefold.dev/internal/agent/link"
	"twelvefold.dev/internal/logs"
)

func (a *Agent) linkCommand(log *slog.Logger) *cobra.Command {
	return &cobra.Command{
		Use:   "link",
		Short: "Put links to stdout in the place of a pod's log files",
		Args:  cobra.NoArgs,
		Long: strings.TrimSpace(`
Makes the links that TWELVEFOLD_LINKS names, each to /dev/stdout or /dev/stderr, so that an application that opens its
log file writes to its own output. It runs before the application, and again without harm.

Environment:
  TWELVEFOLD_LINKS   the links, as JSON

Exit codes:
   0  all links are in place
  10  bad configuration: plan, volumes`),
		RunE: func(*cobra.Command, []string) error {
			plan, err := logs.ParseLinks(a.Env(logs.LinksEnv))
			if err != nil {
				return err
			}
			if err := link.Run(plan); err != nil {
				log.Error("no link", "error", err.Error())
				return &exitError{err, ExitConfiguration}
			}
			log.Info("linked", "files", len(plan.Links))
			return nil
		},
	}
}
