package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"twelvefold.dev/internal/agent/merge"
	"twelvefold.dev/internal/metricsmerge"
)

// mergeMemory is what the garbage collector keeps merge under, with room below the 64 MiB of its container.
const mergeMemory = 48 << 20

func (a *Agent) mergeCommand(log *slog.Logger) *cobra.Command {
	return &cobra.Command{
		Use:   "merge",
		Short: "Serve the metrics of several endpoints of a pod as one",
		Args:  cobra.NoArgs,
		Long: strings.TrimSpace(`
Serves /metrics for the endpoints that TWELVEFOLD_MERGE names, until SIGTERM. A scrape of it scrapes all of them at once,
within the scraper's timeout. Each sample has the label twelvefold_source, which tells where it comes from; a label of
that name becomes exported_twelvefold_source. A metric on whose type the endpoints disagree is served without a type.

An endpoint that is down, slow, too large (16 MiB, lines of 64 KiB) or unreadable is left out, and the rest is served:
  twelvefold_merge_target_up                whether it gave its metrics in time
  twelvefold_merge_target_duration_seconds  how long it took, or was waited for
  twelvefold_merge_target_samples           how many samples it gave
  twelvefold_merge_target_failures_total    scrapes that gave nothing, by reason: unreachable, timeout, redirect, status,
                                            format, malformed, truncated, too_large, internal
  twelvefold_merge_untyped_families         metrics that lost their type

Environment:
  TWELVEFOLD_MERGE   the port to serve on and the endpoints on 127.0.0.1, as JSON
  GOMEMLIMIT         the memory to keep under; default 48MiB

Exit codes:
   0  told to stop
   1  a bug in this program
  10  bad configuration: the plan, or its port is taken`),
		RunE: func(c *cobra.Command, _ []string) error { return a.merge(c.Context(), log) },
	}
}

func (a *Agent) merge(ctx context.Context, log *slog.Logger) error {
	plan, err := metricsmerge.ParsePlan(a.Env(metricsmerge.PlanEnv))
	if err != nil {
		return err
	}
	if a.Env("GOMEMLIMIT") == "" {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(mergeMemory))
	}
	if ctx.Err() != nil {
		return nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", ":"+strconv.Itoa(int(plan.Port)))
	if err != nil {
		return fmt.Errorf("%s: port: %w; a port that nothing in the pod listens on is needed", metricsmerge.PlanEnv, err)
	}
	log.Info("serving", "port", plan.Port, "path", metricsmerge.Path, "targets", len(plan.Targets))
	if err := merge.New(plan, log, nil).Serve(ctx, listener); err != nil {
		log.Error("stopped", "error", err.Error())
		return &exitError{err, ExitInternal}
	}
	return nil
}
