package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"twelvefold.dev/internal/explain"
)

func explainCommand() *cobra.Command {
	return &cobra.Command{
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
			if len(args) == 0 {
				fmt.Fprint(c.OutOrStdout(), explain.Catalogue())
				return nil
			}
			topic, ok := explain.Find(args[0])
			if !ok {
				return fmt.Errorf("unknown rule %q; '%s' lists them", args[0], c.CommandPath())
			}
			fmt.Fprint(c.OutOrStdout(), topic.Text())
			return nil
		},
	}
}
