package agent

import (
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (a *Agent) fetchCommand(log *slog.Logger) *cobra.Command {
	f := fetch{Agent: a, log: log}
	c := &cobra.Command{
		Use:   "fetch",
		Short: "Bring the secrets of a pod from Azure Key Vault",
		Args:  cobra.NoArgs,
		Long: strings.TrimSpace(`
Brings the secrets that TWELVEFOLD_PLAN names from Azure Key Vault and writes them to an env file, which the kubelet
reads for fileKeyRef, and to files. It checks all of them before it writes the first. What went wrong stands in the log,
one JSON object per line, and in the termination message: names, never values.

Environment:
  TWELVEFOLD_PLAN              which secrets go where, as JSON
  AZURE_CLIENT_ID              the identity that reads
  AZURE_TENANT_ID              its tenant
  AZURE_FEDERATED_TOKEN_FILE   the service account's token for api://AzureADTokenExchange
  AZURE_AUTHORITY_HOST         where tokens come from, if not the vault's cloud tells
  HTTPS_PROXY, NO_PROXY        how to reach Azure
  TWELVEFOLD_TRUSTED_CA        authorities (PEM) to trust beside the system's

Exit codes:
   0  all secrets are in place
   1  a bug in this program
  10  bad configuration: plan, identity, volumes
  11  Azure refuses the identity
  12  a secret or version does not exist
  13  a secret is disabled, expired or not yet valid
  14  Azure cannot be reached, or throttles, until the deadline
  15  a value does not fit into an environment variable`),
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c.Context()) },
	}
	c.Flags().StringVar(&f.envFile, "env-file", "/twelvefold/env/env", "the env file to write")
	c.Flags().StringVar(&f.filesDir, "files-dir", "/twelvefold/files", "the directory to write files below")
	c.Flags().DurationVar(&f.deadline, "deadline", time.Minute, "the longest to try")
	c.Flags().StringVar(&f.terminationLog, "termination-log", "/dev/termination-log", "the file for the termination message")
	return c
}
