package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/terminal"
)

// formats are what `mutate -o` writes of an object.
var formats = map[string]func(w io.Writer, paint terminal.Painter, o manifest.Object, v review.Verdict, mutated []byte) error{
	"yaml":  writeYAML,
	"json":  writeJSON,
	"patch": writePatch,
	"diff":  writeDiff,
}

func mutateCommand() *cobra.Command {
	var in input
	var output string
	c := &cobra.Command{
		Use:     "mutate -f FILE|-",
		Short:   "Show what the webhook would make of manifests",
		Long:    "Prints the mutated objects on standard output, and what there is to say about them on standard error. Objects without\na pod pass through.",
		Example: "  twelvefold mutate -f deployment.yaml -o diff",
		RunE: func(c *cobra.Command, args []string) error {
			write, ok := formats[output]
			if !ok {
				return fmt.Errorf("-o %q: want yaml, json, patch or diff", output)
			}
			inputs, err := in.read(c, args)
			if err != nil {
				return err
			}
			return mutateAll(c, inputs, write)
		},
	}
	in.addFlags(c)
	c.Flags().StringVarP(&output, "output", "o", "yaml", "yaml, json, patch or diff")
	return c
}

func mutateAll(c *cobra.Command, inputs []review.Input, write func(io.Writer, terminal.Painter, manifest.Object, review.Verdict, []byte) error) error {
	var result error
	for _, in := range inputs {
		verdict, err := review.Mutate(in)
		if err != nil {
			return fmt.Errorf("%s: %w", in.Object.Place(), err)
		}
		for _, f := range verdict.Findings {
			if f.Level >= policy.Warn {
				fmt.Fprintf(c.ErrOrStderr(), "%s:%d: %s %s/%s: %s\n", in.Object.File, in.Object.LineOf(f.Path),
					terminal.For(c.ErrOrStderr()).Level(f.Level), in.Object.Kind, in.Object.Name, f)
			}
		}
		if verdict.Denied() {
			result = errDenied
			continue
		}
		mutated, err := applied(in.Object, verdict)
		if err == nil {
			err = write(c.OutOrStdout(), terminal.For(c.OutOrStdout()), in.Object, verdict, mutated)
		}
		if err != nil {
			return err
		}
	}
	return result
}

// applied is the object's JSON with the verdict's patch, applied as the API server does it.
func applied(o manifest.Object, v review.Verdict) ([]byte, error) {
	if len(v.Patch) == 0 {
		return o.JSON, nil
	}
	operations, err := json.Marshal(v.Patch)
	if err != nil {
		return nil, err
	}
	mutated, err := podpatch.Apply(operations, o.JSON)
	if err != nil {
		return nil, fmt.Errorf("%s %s: this is a bug: %w", o.Kind, o.Name, err)
	}
	return mutated, nil
}

func writeYAML(w io.Writer, _ terminal.Painter, _ manifest.Object, _ review.Verdict, mutated []byte) error {
	text, err := yaml.JSONToYAML(mutated)
	if err != nil {
		return err
	}
	_, err = w.Write(append([]byte("---\n"), text...))
	return err
}

func writeJSON(w io.Writer, _ terminal.Painter, _ manifest.Object, _ review.Verdict, mutated []byte) error {
	var text bytes.Buffer
	if err := json.Indent(&text, mutated, "", "  "); err != nil {
		return err
	}
	_, err := w.Write(append(text.Bytes(), '\n'))
	return err
}

func writePatch(w io.Writer, _ terminal.Painter, _ manifest.Object, v review.Verdict, _ []byte) error {
	patch := slices.Clone(v.Patch)
	if patch == nil {
		_, err := fmt.Fprintln(w, "[]")
		return err
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(patch)
}

func writeDiff(w io.Writer, paint terminal.Painter, o manifest.Object, _ review.Verdict, mutated []byte) error {
	before, err := yaml.JSONToYAML(o.JSON)
	if err != nil {
		return err
	}
	after, err := yaml.JSONToYAML(mutated)
	if err != nil {
		return err
	}
	name := o.Kind + "/" + o.Name
	_, err = io.WriteString(w, paint.Diff(string(diff.Diff(name, before, name+" mutated", after))))
	return err
}
