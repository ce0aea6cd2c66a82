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

// reports are what `check -o` writes.
var reports = map[string]func(r report, w io.Writer) error{
	"text":  report.text,
	"json":  report.json,
	"sarif": report.sarif,
	"junit": report.junit,
}

func checkCommand() *cobra.Command {
	var in input
	var output string
	c := &cobra.Command{
		Use:   "check -f FILE|DIR|- … | --cluster",
		Short: "Judge manifests, or what a cluster runs, as the webhook would",
		Long: "Judges every pod and every workload's template. What Helm and Kustomize write can be piped in. With --cluster it judges\n" +
			"the workloads of a cluster, which it only reads.\n\n" +
			"-o sarif is for code scanning: results have file, line and a fingerprint that survives moved lines. Of more\n" +
			"than 25,000, which GitHub does not take, it writes those that weigh most.\n" +
			"-o junit is for CI: a suite for each file, a case for each object, a failure for each denied object.",
		Example: "  twelvefold check -f deploy/\n" +
			"  helm template shop | twelvefold check --policy policy.yaml --namespace prod-shop -f -\n" +
			"  kubectl kustomize overlays/prod | twelvefold check -f -\n" +
			"  twelvefold check -f deploy/ -o sarif > twelvefold.sarif\n" +
			"  twelvefold check --cluster -n shop,search",
		RunE: func(c *cobra.Command, args []string) error {
			write, ok := reports[output]
			if !ok {
				return fmt.Errorf("-o %q: want text, json, sarif or junit", output)
			}
			report := report{Findings: []located{}}
			for inputs, err := range in.batches(c, args) {
				if err == nil {
					err = report.judge(inputs)
				}
				if err != nil {
					return err
				}
			}
			report.Gaps = in.gaps
			err := write(report, c.OutOrStdout())
			if err == nil && report.Summary.Deny > 0 {
				err = errDenied
			}
			return err
		},
	}
	in.addClusterFlags(c)
	c.Flags().StringVarP(&output, "output", "o", "text", "text, json, sarif or junit")
	return c
}

// report is the result of a check. Its JSON is stable.
type report struct {
	Findings []located `json:"findings"`
	Summary  summary   `json:"summary"`
	Gaps     []string  `json:"gaps,omitempty"` // what of a cluster could not be read

	objects []judged
}

// judged is an object, with its findings or without.
type judged struct {
	object   manifest.Object
	identity identity
	findings []located
}

type located struct {
	policy.Finding
	Object identity `json:"object"`
	File   string   `json:"file"`
	Line   int      `json:"line"`
	Source string   `json:"source,omitempty"` // the chart's template
}

type identity struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
}

func (i identity) String() string { return i.Namespace + "/" + i.Kind + "/" + i.Name }

type summary struct {
	Objects int `json:"objects"`
	Deny    int `json:"deny"`
	Warn    int `json:"warn"`
	Audit   int `json:"audit"`
}

func (r *report) judge(inputs []review.Input) error {
	for _, in := range inputs {
		if in.Object.Kind == "" { // a chart's values, a package.json
			continue
		}
		verdict, err := review.Full(in)
		if err != nil {
			return fmt.Errorf("%s: %w", in.Object.Place(), err)
		}
		r.Summary.Objects++
		o := judged{object: in.Object, identity: identify(in.Object, in.Facts.Namespace)}
		for _, f := range verdict.Findings {
			switch f.Level {
			case policy.Deny:
				r.Summary.Deny++
			case policy.Warn:
				r.Summary.Warn++
			case policy.Audit:
				r.Summary.Audit++
			}
			o.findings = append(o.findings, located{f, o.identity, in.Object.File, in.Object.LineOf(f.Path), in.Object.Source})
		}
		r.Findings = append(r.Findings, o.findings...)
		o.object.JSON = nil // it may be one of thousands
		r.objects = append(r.objects, o)
	}
	return nil
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
func (r report) text(w io.Writer) error {
	paint := terminal.For(w)
	for _, f := range r.Findings {
		if f.Level >= policy.Warn {
			if f.File == "" { // in a cluster
				fmt.Fprintf(w, "%s: %s %s\n", f.Object, paint.Level(f.Level), f.Finding)
				continue
			}
			fmt.Fprintf(w, "%s:%d: %s %s/%s: %s\n", f.File, f.Line, paint.Level(f.Level), f.Object.Kind, f.Object.Name, f.Finding)
		}
	}
	_, err := fmt.Fprintf(w, "%d objects: %d denied, %d warned, %d audited\n", r.Summary.Objects, r.Summary.Deny, r.Summary.Warn, r.Summary.Audit)
	return err
}
