package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
)

func policyCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "policy", Short: "Look at a policy before it takes effect", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }, // without it, an unknown subcommand would be no error
	}
	c.AddCommand(
		&cobra.Command{
			Use: "validate FILE", Short: "Say whether a policy would take effect", Args: oneFile,
			RunE: func(c *cobra.Command, args []string) error {
				p, err := readPolicy(args[0])
				if err != nil {
					return err
				}
				for _, warning := range p.Warnings(time.Now()) {
					fmt.Fprintln(c.ErrOrStderr(), "warning:", warning)
				}
				fmt.Fprintf(c.OutOrStdout(), "%s: valid, hash %s\n", args[0], p.Hash())
				return nil
			},
		},
		policyTestCommand(),
		policyShowCommand(),
	)
	return c
}

func oneFile(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one policy file: %s", c.UseLine())
	}
	return nil
}

func policyTestCommand() *cobra.Command {
	return &cobra.Command{
		Use: "test FILE", Short: "Run a policy's own tests", Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			data, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			p, err := policy.Parse(data, rules.Catalogue{})
			if err != nil {
				return fmt.Errorf("%s:\n%w", args[0], err)
			}
			if err := review.TestPolicy(p); err != nil {
				fmt.Fprintln(c.OutOrStdout(), err)
				return errDenied
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %d tests passed\n", args[0], len(p.Spec().Tests))
			return nil
		},
	}
}

func policyShowCommand() *cobra.Command {
	var namespace string
	var labels map[string]string
	c := &cobra.Command{
		Use: "show FILE", Short: "Show the level of every rule in a namespace", Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			p, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			effective := p.For(namespace, labels)
			for _, r := range rules.All() {
				fmt.Fprintf(c.OutOrStdout(), "%-5s %-22s %s\n", r.Factor, r.ID, effective.Level(r.RuleInfo, nil, policy.Deny))
			}
			return nil
		},
	}
	c.Flags().StringVar(&namespace, "namespace", "default", "namespace to show the policy of")
	c.Flags().StringToStringVar(&labels, "namespace-labels", nil, "its labels: k=v,…")
	return c
}
