//go:build !unix

package agent

import (
	"errors"
	"log/slog"

	"github.com/spf13/cobra"
)

// tailCommand has nothing to run: files have no identity that outlives a rename here. The command line, which carries
// the agent for its demo, is built for such systems, too.
func (a *Agent) tailCommand(*slog.Logger) *cobra.Command {
	return &cobra.Command{Use: "tail", Hidden: true, RunE: func(*cobra.Command, []string) error {
		return errors.New("tail runs on Linux")
	}}
}
