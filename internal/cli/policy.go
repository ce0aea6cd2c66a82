package cli

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
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
			Use: "validate FILE|-", Short: "Say whether a policy would take effect", Args: oneFile,
			RunE: func(c *cobra.Command, args []string) error {
				file, data, err := policyText(c, args[0])
				if err != nil {
					return err
				}
				p, err := loadPolicy(file, data)
				if err != nil {
					return err
				}
				for _, warning := range p.Warnings(time.Now()) {
					fmt.Fprintln(c.ErrOrStderr(), "warning:", warning)
				}
				fmt.Fprintf(c.OutOrStdout(), "%s: valid, hash %s\n", file, p.Hash())
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

// policyText is the text of the file that a subcommand is about, and how it is called; - is standard input.
func policyText(c *cobra.Command, file string) (name string, data []byte, err error) {
	if file == "-" {
		data, err = io.ReadAll(c.InOrStdin())
		return stdin, data, err
	}
	data, err = os.ReadFile(file)
	return file, data, err
}

func policyTestCommand() *cobra.Command {
	return &cobra.Command{
		Use: "test FILE|-", Short: "Run a policy's own tests", Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			file, data, err := policyText(c, args[0])
			if err != nil {
				return err
			}
			p, err := policy.Parse(data, rules.Catalogue{})
			if err != nil {
				return fmt.Errorf("%s:\n%w", file, err)
			}
			if err := review.TestPolicy(p); err != nil {
				fmt.Fprintln(c.OutOrStdout(), err)
				return errDenied
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %d tests passed\n", file, len(p.Spec().Tests))
			return nil
		},
	}
}

func policyShowCommand() *cobra.Command {
	var namespace, expiring string
	var labels map[string]string
	c := &cobra.Command{
		Use: "show FILE|-", Short: "Show the level of every rule in a namespace and what is repaired, or the exemptions that end soon", Args: oneFile,
		Example: "  twelvefold policy show policy.yaml --namespace prod-shop\n  twelvefold policy show --expiring 30d policy.yaml",
		RunE: func(c *cobra.Command, args []string) error {
			within, err := days(expiring)
			if err != nil {
				return err
			}
			file, data, err := policyText(c, args[0])
			if err != nil {
				return err
			}
			p, err := loadPolicy(file, data)
			if err != nil {
				return err
			}
			if expiring != "" {
				showExpiring(c.OutOrStdout(), p.Spec().Exemptions, time.Now(), within)
				return nil
			}
			if err := checkLabels(labels); err != nil {
				return err
			}
			effective := p.For(namespace, policy.LabelsOf(namespace, labels))
			show := func(r policy.RuleInfo, repairs bool) {
				line := fmt.Sprintf("%-5s %-22s %s", r.Factor, r.ID, effective.Level(r, nil, policy.Deny))
				if repairs {
					line = fmt.Sprintf("%-34s repaired", line)
				}
				fmt.Fprintln(c.OutOrStdout(), line)
			}
			for _, r := range rules.All() {
				show(r.RuleInfo, r.Repairs(effective))
			}
			for _, r := range p.Custom() {
				show(r.RuleInfo, false)
			}
			return nil
		},
	}
	c.Flags().StringVarP(&namespace, "namespace", "n", "default", "namespace to show the policy of")
	c.Flags().StringToStringVar(&labels, "namespace-labels", nil, "its labels: k=v,…")
	c.Flags().StringVar(&expiring, "expiring", "", "show the exemptions that end within this time (30d, 12h), and those that have ended")
	return c
}

// days reads a time as Go does, or as a number of days: 30d.
func days(text string) (time.Duration, error) {
	const most = 36500
	if text == "" {
		return 0, nil
	}
	if count, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(count); err == nil && 0 <= n && n <= most {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return d, nil
	}
	return 0, fmt.Errorf("--expiring %q: want a time such as 30d or 12h", text)
}

// showExpiring lists exemptions by their end, the oldest first.
func showExpiring(w io.Writer, exemptions []policy.Exemption, now time.Time, within time.Duration) {
	ending := slices.DeleteFunc(slices.Clone(exemptions), func(x policy.Exemption) bool { return x.End().After(now.Add(within)) })
	slices.SortStableFunc(ending, func(a, b policy.Exemption) int { return a.End().Compare(b.End()) })
	for _, x := range ending {
		state := "expires"
		if !now.Before(x.End()) {
			state = "expired"
		}
		fmt.Fprintf(w, "%s %s  %s  %s: %s\n", state, x.Expires.Format(time.DateOnly), x, x.Owner, policy.OneLine(x.Reason))
	}
	fmt.Fprintf(w, "%d of %d exemptions\n", len(ending), len(exemptions))
}
