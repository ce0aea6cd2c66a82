//go:build unix

package agent

import (
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"twelvefold.dev/internal/agent/tail"
	"twelvefold.dev/internal/logs"
)

func (a *Agent) tailCommand(log *slog.Logger) *cobra.Command {
	var options tail.Options
	c := &cobra.Command{
		Use:   "tail",
		Short: "Bring the log files of a pod to stdout",
		Args:  cobra.NoArgs,
		Long: strings.TrimSpace(`
Streams the log files that TWELVEFOLD_LOGS names to stdout until SIGTERM; then it drains them and ends.

Environment:
  TWELVEFOLD_LOGS   the files, as JSON; its metricsPort, if any, is where /metrics is served`),
		RunE: func(c *cobra.Command, _ []string) error {
			plan, err := logs.ParsePlan(a.Env(logs.PlanEnv))
			if err != nil {
				return err
			}
			options.Stats = new(tail.Stats)
			defer serveMetrics(plan.MetricsPort, options.Stats, log)()
			if err := tail.Run(c.Context(), plan, a.Stdout, log, options); err != nil {
				log.Error("stopped", "error", err.Error())
				return &exitError{err, ExitInternal}
			}
			return nil
		},
	}
	c.Flags().StringVar(&options.StateDir, "state-dir", "", "the directory for positions, which outlive a restart of the container")
	c.Flags().Int64Var(&options.MaxDisk, "max-disk", 0, "delete finished rotated files when all take more than this many bytes; 0 deletes nothing")
	return c
}
