package cli

import (
	"github.com/spf13/cobra"

	"twelvefold.dev/internal/demo"
)

func demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "See it work without a cluster",
		Long:  "Starts an emulator of Key Vault and the webhook on loopback, sends the examples to it, shows what comes back, and ends.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return demo.Run(c.Context(), c.OutOrStdout())
		},
	}
}
