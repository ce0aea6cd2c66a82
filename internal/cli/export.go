package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/vap"
)

func exportCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "export", Short: "Write a policy for others to enforce", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(exportVAPCommand())
	return c
}

func exportVAPCommand() *cobra.Command {
	var policyFile string
	c := &cobra.Command{
		Use: "vap", Short: "Write the denials that CEL can express as ValidatingAdmissionPolicies", Args: cobra.NoArgs,
		Long: "Writes a ValidatingAdmissionPolicy for each rule that denies and that CEL can express: a backstop in the API server itself,\n" +
			"for namespaces with twelvefold.dev/admission=enabled. It denies pods and warns of templates of workloads, and is never stricter\n" +
			"than the webhook. Comments list what it can't judge; docs/vap.md says what becomes of each rule.",
		Example: "  twelvefold export vap --policy policy.yaml | kubectl apply -f -",
		RunE: func(c *cobra.Command, _ []string) error {
			p := policy.Default(rules.Catalogue{})
			if policyFile != "" {
				var err error
				if p, err = readPolicy(policyFile); err != nil {
					return err
				}
			}
			text, err := vap.Export(p, time.Now())
			if err == nil {
				_, err = fmt.Fprintf(c.OutOrStdout(), "%s", text)
			}
			return err
		},
	}
	c.Flags().StringVar(&policyFile, "policy", "", "policy: the ConfigMap or the bare document (default: the built-in policy)")
	return c
}
