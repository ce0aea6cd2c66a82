package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/terminal"
)

func checkCommand() *cobra.Command {
	var in input
	var output string
	c := &cobra.Command{
		Use:   "check -f FILE|DIR|- …",
		Short: "Judge manifests as the webhook would",
		Example: "  twelvefold check -f deploy/\n" +
			"  helm template shop | twelvefold check --policy policy.yaml --namespace prod-shop -f -",
		RunE: func(c *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("-o %q: want text or json", output)
			}
			inputs, err := in.read(c, args)
			if err != nil {
				return err
			}
			report, err := judge(inputs)
			if err != nil {
				return err
			}
			if output == "json" {
				err = report.json(c.OutOrStdout())
			} else {
				report.text(c.OutOrStdout(), terminal.For(c.OutOrStdout()))
			}
			if err == nil && report.Summary.Deny > 0 {
				err = errDenied
			}
			return err
		},
	}
	in.addFlags(c)
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

// report is the result of a check. Its JSON is stable.
type report struct {
	Findings []located `json:"findings"`
	Summary  summary   `json:"summary"`
}

type located struct {
	policy.Finding
	Object identity `json:"object"`
	File   string   `json:"file"`
	Line   int      `json:"line"`
}

type identity struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
}

type summary struct {
	Objects int `json:"objects"`
	Deny    int `json:"deny"`
	Warn    int `json:"warn"`
	Audit   int `json:"audit"`
}

func judge(inputs []review.Input) (report, error) {
	r := report{Findings: []located{}}
	for _, in := range inputs {
		verdict, err := review.Full(in)
		if err != nil {
			return r, fmt.Errorf("%s:%d: %w", in.Object.File, in.Object.Line, err)
		}
		r.Summary.Objects++
		for _, f := range verdict.Findings {
			switch f.Level {
			case policy.Deny:
				r.Summary.Deny++
			case policy.Warn:
				r.Summary.Warn++
			case policy.Audit:
				r.Summary.Audit++
			}
			r.Findings = append(r.Findings, located{f, identify(in.Object, in.Facts.Namespace), in.Object.File, in.Object.LineOf(f.Path)})
		}
	}
	return r, nil
}

func identify(o manifest.Object, namespace string) identity {
	return identity{APIVersion: o.APIVersion, Kind: o.Kind, Namespace: namespace, Name: o.Name}
}

func (r report) json(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// text leaves out what is only audited: it is for reports.
func (r report) text(w io.Writer, paint terminal.Painter) {
	for _, f := range r.Findings {
		if f.Level >= policy.Warn {
			fmt.Fprintf(w, "%s:%d: %s %s/%s: %s\n", f.File, f.Line, paint.Level(f.Level), f.Object.Kind, f.Object.Name, f.Finding)
		}
	}
	fmt.Fprintf(w, "%d objects: %d denied, %d warned, %d audited\n", r.Summary.Objects, r.Summary.Deny, r.Summary.Warn, r.Summary.Audit)
}
