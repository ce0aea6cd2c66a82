package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"twelvefold.dev/internal/explain"
)

func explainCommand() *cobra.Command {
	var policyFile string
	c := &cobra.Command{
		Use:   "explain [RULE]",
		Short: "Explain a rule, or list all of them",
		Args:  cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var ids []string
			for _, topic := range explain.Topics() {
				ids = append(ids, topic.ID+"\t"+topic.Title)
			}
			return ids, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			var custom []explain.Topic
			if policyFile != "" {
				p, err := readPolicy(policyFile)
				if err != nil {
					return err
				}
				custom = explain.Custom(p)
			}
			if len(args) == 0 {
				fmt.Fprint(c.OutOrStdout(), explain.Catalogue(custom...))
				return nil
			}
			topic, ok := explain.Find(args[0], custom...)
			if !ok {
				return fmt.Errorf("unknown rule %q; '%s' lists them", args[0], c.CommandPath())
			}
			fmt.Fprint(c.OutOrStdout(), topic.Text())
			return nil
		},
	}
	c.Flags().StringVar(&policyFile, "policy", "", "policy whose own rules are explained too: the ConfigMap or the bare document")
	return c
}
