package agent

import (
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// azureHelp are the settings of fetch and sync.
const azureHelp = `
  TWELVEFOLD_PLAN              which secrets go where, as JSON
  TWELVEFOLD_ROTATION          how new versions come: files, restart
  TWELVEFOLD_IDENTITY          workload (default), managed, or service-principal
  AZURE_CLIENT_ID              the identity that reads
  AZURE_TENANT_ID              its tenant
  AZURE_FEDERATED_TOKEN_FILE   the service account's token for api://AzureADTokenExchange
  TWELVEFOLD_CREDENTIAL_DIR    a service principal's mounted Secret: files clientid and clientsecret
  AZURE_AUTHORITY_HOST         where tokens come from, if not the vault's cloud tells
  HTTPS_PROXY, NO_PROXY        how to reach Azure
  TWELVEFOLD_TRUSTED_CA        authorities (PEM) to trust beside the system's`

func (a *Agent) fetchCommand(log *slog.Logger) *cobra.Command {
	f := fetch{delivery: delivery{Agent: a, log: log}}
	c := &cobra.Command{
		Use:   "fetch",
		Short: "Bring the secrets of a pod from Azure Key Vault",
		Args:  cobra.NoArgs,
		Long: strings.TrimSpace(`
Brings the secrets that TWELVEFOLD_PLAN names from Azure Key Vault and writes them to an env file, which the kubelet
reads for fileKeyRef or exec for its command, and to files. It checks all of them before it writes the first. What went
wrong stands in the log, one JSON object per line, and in the termination message: names, never values.

With TWELVEFOLD_ROTATION=restart, a run that fails where an earlier one delivered everything keeps that and ends with 0.

Environment:` + azureHelp + `

Exit codes:
   0  all secrets are in place
   1  a bug in this program
  10  bad configuration: plan, identity, volumes
  11  Azure refuses the identity
  12  a secret or version does not exist
  13  a secret is disabled, expired or not yet valid
  14  Azure cannot be reached, or throttles, until the deadline
  15  a value does not fit into an environment variable`),
		RunE: func(c *cobra.Command, _ []string) error {
			a.harden(log)
			return f.run(c.Context())
		},
	}
	f.flags(c.Flags())
	c.Flags().DurationVar(&f.deadline, "deadline", time.Minute, "the longest to try")
	c.Flags().StringVar(&f.terminationLog, "termination-log", "/dev/termination-log", "the file for the termination message")
	return c
}

func (a *Agent) syncCommand(log *slog.Logger) *cobra.Command {
	s := syncing{delivery: delivery{Agent: a, log: log}}
	c := &cobra.Command{
		Use:   "sync",
		Short: "Bring new versions of the secrets of a pod from Azure Key Vault",
		Args:  cobra.NoArgs,
		Long: strings.TrimSpace(`
Looks for new versions of the secrets that TWELVEFOLD_PLAN names without a version, until SIGTERM. It asks for metadata,
and reads a value only where there is a new version of it.

TWELVEFOLD_ROTATION=files replaces the files of a volume all at once; environment variables stay as they are.
TWELVEFOLD_ROTATION=restart makes sure that the new values can be delivered, writes none, and exits with 77, for which
the pod's restartPolicyRules restart all containers; fetch then delivers. There are at least five minutes and one
interval between two restarts.

Whatever goes wrong leaves what is delivered as it is, and is tried again at the next poll. The log tells once that
something became wrong, and once that it is right again.

Environment:` + azureHelp + `
  TWELVEFOLD_INTERVAL          how often to look, like 90s; default 2m

Exit codes:
   0  told to stop
   1  a bug in this program
  10  bad configuration: plan, identity, rotation
  77  there are new versions, and all containers are to be restarted`),
		RunE: func(c *cobra.Command, _ []string) error {
			a.harden(log)
			return s.run(c.Context())
		},
	}
	s.flags(c.Flags())
	c.Flags().DurationVar(&s.deadline, "deadline", time.Minute, "the longest to try at one poll")
	c.Flags().DurationVar(&s.restartLimit, "restart-limit", 5*time.Minute, "the least time between two restarts, if the interval isn't longer")
	return c
}
