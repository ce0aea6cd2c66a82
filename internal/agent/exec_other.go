//go:build !unix

package agent

import (
	"errors"
	"log/slog"

	"github.com/spf13/cobra"
)

// execCommand has nothing to run: a process cannot become another here. See tailCommand for who builds this.
func (a *Agent) execCommand(*slog.Logger) *cobra.Command {
	return &cobra.Command{Use: "exec", Hidden: true, RunE: func(*cobra.Command, []string) error {
		return errors.New("exec runs on Linux")
	}}
}
