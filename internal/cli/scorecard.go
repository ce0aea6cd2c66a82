package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"twelvefold.dev/internal/scorecard"
)

func reportCommand() *cobra.Command {
	var in input
	var output string
	c := &cobra.Command{
		Use:   "report -f FILE|DIR|- … | --cluster",
		Short: "Show how far workloads are twelve-factor, as a web page",
		Long: "Prints one page of HTML that needs nothing else: the twelve factors by workloads, what was found, and how to mend it.\n" +
			"What is denied does not fail it: 'check' is for gates.",
		Example: "  twelvefold report -f deploy/ > report.html\n" +
			"  twelvefold report --cluster > report.html",
		RunE: func(c *cobra.Command, args []string) error {
			if output != "html" {
				return fmt.Errorf("-o %q: want html", output)
			}
			card := scorecard.Card{Time: time.Now()}
			for inputs, err := range in.batches(c, args) {
				if err == nil {
					err = card.Add(inputs)
				}
				if err != nil {
					return err
				}
			}
			card.Gaps = in.gaps
			card.Sum()
			return card.HTML(c.OutOrStdout())
		},
	}
	in.addClusterFlags(c)
	c.Flags().StringVarP(&output, "output", "o", "html", "html")
	return c
}
