package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/parity"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/terminal"
)

func parityCommand() *cobra.Command {
	var in input
	var output string
	c := &cobra.Command{
		Use:   "parity NAMESPACE NAMESPACE -f FILE|DIR|- … | --cluster",
		Short: "Say in what the workloads of two namespaces differ, besides config",
		Long: "Compares workloads of the same kind and name: images and tags, which variables there are and where they are from, probes,\n" +
			"requests and limits, sidecars and exporters. Values, quantities and replicas may differ: that is config (factor X).\n\n" +
			"Exit status, as of diff: 0 they differ in nothing, 1 they differ, 2 bad usage or input that can't be read.",
		Example: "  twelvefold parity staging production -f overlays/\n" +
			"  twelvefold parity staging production --cluster",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 2 || args[0] == args[1] {
				return fmt.Errorf("want two namespaces: %s", c.UseLine())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("-o %q: want text or json", output)
			}
			objects, err := in.parityObjects(c, args)
			if err != nil {
				return err
			}
			report, err := compareNamespaces(review.Offline(objects, nil, policy.Facts{Namespace: cmp.Or(append(in.namespaces, "default")...)}), args[0], args[1])
			if err != nil {
				return err
			}
			if output == "json" {
				err = writeIndented(c.OutOrStdout(), report)
			} else {
				err = report.text(c.OutOrStdout())
			}
			if err == nil && len(report.Workloads) > 0 {
				err = errDenied
			}
			return err
		},
	}
	c.Flags().StringArrayVarP(&in.files, "filename", "f", nil, "file, directory, or - for standard input; may be repeated")
	c.Flags().StringSliceVarP(&in.namespaces, "namespace", "n", nil, "of files, the namespace of objects that name none (default: default)")
	in.clusterFlags.addFlags(c)
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

// parityObjects are those of the files, or of the two namespaces in a cluster.
func (in *input) parityObjects(c *cobra.Command, names []string) ([]manifest.Object, error) {
	fromCluster, err := in.readsCluster(c, in.files)
	if err != nil {
		return nil, err
	}
	if fromCluster {
		if len(in.namespaces) > 0 {
			return nil, errors.New("-n is for files: the namespaces of a cluster are the arguments")
		}
		return in.clusterObjects(c, names)
	}
	sources, err := in.sources(c, nil)
	if err != nil {
		return nil, err
	}
	return in.objects(sources)
}

// drift is in what two namespaces differ. Its JSON is stable.
type drift struct {
	Namespaces [2]string         `json:"namespaces"`
	Compared   int               `json:"compared"`  // workloads that are in both
	Workloads  []driftedWorkload `json:"workloads"` // those that differ
}

type driftedWorkload struct {
	Kind        string              `json:"kind"`
	Name        string              `json:"name"`
	OnlyIn      string              `json:"onlyIn,omitempty"` // a namespace
	Differences []parity.Difference `json:"differences,omitempty"`
}

func compareNamespaces(inputs []review.Input, first, second string) (drift, error) {
	report := drift{Namespaces: [2]string{first, second}, Workloads: []driftedWorkload{}}
	pods := map[string]map[workload]corev1.PodTemplateSpec{}
	inputs, owners, err := workloadsOf(inputs)
	if err != nil {
		return report, err
	}
	for i, in := range inputs {
		template, _, err := in.Object.Template()
		var pod corev1.PodTemplateSpec
		if err == nil {
			err = json.Unmarshal(template.JSON, &pod)
		}
		if err != nil {
			return report, fmt.Errorf("%s: %w", in.Object.Place(), err)
		}
		w := owners[i]
		if pods[w.Namespace] == nil {
			pods[w.Namespace] = map[workload]corev1.PodTemplateSpec{}
		}
		pods[w.Namespace][workload{Kind: w.Kind, Name: w.Name}] = pod
	}
	for _, namespace := range report.Namespaces {
		if len(pods[namespace]) == 0 {
			return report, fmt.Errorf("no workload in namespace %q; the input has those of %s", namespace, strings.Join(slices.Sorted(maps.Keys(pods)), ", "))
		}
	}
	all := maps.Clone(pods[first])
	maps.Copy(all, pods[second])
	for _, w := range slices.SortedFunc(maps.Keys(all), func(a, b workload) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) }) {
		a, inFirst := pods[first][w]
		b, inSecond := pods[second][w]
		found := driftedWorkload{Kind: w.Kind, Name: w.Name}
		switch {
		case !inFirst:
			found.OnlyIn = second
		case !inSecond:
			found.OnlyIn = first
		default:
			report.Compared++
			if found.Differences = parity.Compare(a, b); len(found.Differences) == 0 {
				continue
			}
		}
		report.Workloads = append(report.Workloads, found)
	}
	return report, nil
}

func (d drift) text(w io.Writer) error {
	paint := terminal.For(w)
	differ := 0
	for _, found := range d.Workloads {
		if found.OnlyIn != "" {
			fmt.Fprintf(w, "%s: only in %s\n", paint.Bold(found.Kind+"/"+found.Name), found.OnlyIn)
			continue
		}
		differ++
		fmt.Fprintf(w, "%s:\n", paint.Bold(found.Kind+"/"+found.Name))
		for _, one := range found.Differences {
			where := one.Kind
			if one.Container != "" {
				where = one.Container + ": " + where
			}
			if one.What != "" {
				where += " " + one.What
			}
			fmt.Fprintf(w, "  %s: %s\n", where, d.sides(one))
		}
	}
	_, err := fmt.Fprintf(w, "%d workloads in both, %d of them differ; %d only in one\n", d.Compared, differ, len(d.Workloads)-differ)
	return err
}

// sides is how a thing is in both namespaces.
func (d drift) sides(one parity.Difference) string {
	switch {
	case one.Second == "":
		return fmt.Sprintf("only in %s (%s)", d.Namespaces[0], one.First)
	case one.First == "":
		return fmt.Sprintf("only in %s (%s)", d.Namespaces[1], one.Second)
	}
	return fmt.Sprintf("%s in %s, %s in %s", one.First, d.Namespaces[0], one.Second, d.Namespaces[1])
}
