package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"twelvefold.dev/internal/fix"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/terminal"
)

func fixCommand() *cobra.Command {
	var in input
	var write, diff bool
	var asked []string
	c := &cobra.Command{
		Use:   "fix -f FILE|DIR|- … [--write]",
		Short: "Repair manifests where they stand",
		Long: "Makes the repairs that the webhook makes by default, where a rule finds something: ports that probes ask are declared,\n" +
			"exec is put before a script's last command, PYTHONUNBUFFERED is set. Log files and redirections become stdout, too, where\n" +
			"that is certain to work. Repairs that may change how an app behaves are made where the policy asks for them, or --repair\n" +
			"does by the names of their rules:\n  " + strings.Join(onRequest(), "\n  ") + "\n\n" +
			"Only the lines that a repair touches change: comments and layout stay. What the policy does not look at, or exempts,\n" +
			"stays too. Repairs are listed on standard error.\n\n" +
			"Exit status: 0 nothing is denied in what was repaired, 1 something still is, 2 bad usage or input that can't be read.",
		Example: "  twelvefold fix -f deploy/ --diff\n" +
			"  twelvefold fix -f deploy/ --diff | patch -p0\n" +
			"  twelvefold fix -f deploy/ --write\n" +
			"  twelvefold fix -f deploy/ --repair app-identity,service-links --write",
		RunE: func(c *cobra.Command, args []string) error {
			if write && diff {
				return errors.New("--write or --diff, not both")
			}
			for _, id := range asked {
				if all := (rules.Catalogue{}).Repairable(); !slices.Contains(all, id) {
					return fmt.Errorf("--repair %q: no rule with a repair has this name; these have one: %s", id, strings.Join(all, ", "))
				}
			}
			return in.fix(c, args, write, asked)
		},
	}
	in.addFlags(c)
	c.Flags().BoolVar(&diff, "diff", false, "print what would change as a unified diff (the default)")
	c.Flags().StringSliceVar(&asked, "repair", nil, "rules whose repairs are made on request only, or although the policy turns them off: RULE,…")
	c.Flags().BoolVar(&write, "write", false, "change the files; of standard input, print the changed text")
	return c
}

// onRequest are the rules whose repairs somebody must ask for.
func onRequest() (ids []string) {
	for _, r := range rules.All() {
		if r.RuleInfo.Repair == policy.OnRequest {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

func (in *input) fix(c *cobra.Command, args []string, write bool, asked []string) error {
	sources, err := in.sources(c, args)
	if err != nil {
		return err
	}
	inputs, err := in.inputs(sources)
	if err != nil {
		return err
	}
	view := viewOf(inputs)
	fixed := make([]source, len(sources))
	var repairs []fix.Repair
	for i, s := range sources { // all of them before the first is written
		data, done, err := fix.File(s.name, s.data, view, asked...)
		if err != nil {
			return err
		}
		fixed[i] = source{s.name, data}
		repairs = append(repairs, done...)
	}
	for i, s := range sources {
		if err := output(c.OutOrStdout(), s, fixed[i], write); err != nil {
			return err
		}
	}
	printRepairs(c.ErrOrStderr(), repairs, write)

	if inputs, err = in.inputs(fixed); err != nil {
		return err
	}
	var report report
	err = report.judge(inputs)
	offerRepairs(c.ErrOrStderr(), report.Findings, asked)
	if err == nil && report.Summary.Deny > 0 {
		err = errDenied
	}
	return err
}

// viewOf is what the policy and the input say of an object. They say it of its namespace, so that repairs change nothing
// about it.
func viewOf(inputs []review.Input) fix.View {
	of := map[string]review.Input{}
	for _, in := range inputs {
		of[in.Object.Namespace] = in
	}
	return func(o manifest.Object) review.Input {
		in := of[o.Namespace]
		in.Object, in.Old = o, nil
		return in
	}
}

func output(w io.Writer, before, after source, write bool) error {
	switch {
	case write && before.name == stdin:
		_, err := w.Write(after.data)
		return err
	case string(before.data) == string(after.data):
		return nil
	case write:
		return replaceFile(before.name, after.data)
	}
	_, err := io.WriteString(w, terminal.For(w).Diff(string(diff.Diff(before.name, before.data, before.name, after.data))))
	return err
}

// replaceFile puts another content in the place of a file's, at once: who is interrupted finds the old or the new one.
// The file keeps its mode, and a link goes on to lead to it. Where nothing can stand beside the file or take its place (a
// file that is mounted into a container), it is written where it is.
func replaceFile(name string, data []byte) error {
	name, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	old, err := os.OpenFile(name, os.O_WRONLY, 0) // what is read-only stays so
	if err != nil {
		return err
	}
	defer old.Close()
	info, err := old.Stat()
	if err != nil {
		return err
	}
	if beside, err := writeBeside(name, data, info.Mode()); err == nil {
		if os.Rename(beside, name) == nil {
			return nil
		}
		_ = os.Remove(beside) // it failed before
	}
	return os.WriteFile(name, data, info.Mode().Perm())
}

// writeBeside writes a file of some name in the folder of another one.
func writeBeside(name string, data []byte, mode os.FileMode) (beside string, err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".twelvefold-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		_ = os.Remove(f.Name())
	}
	return f.Name(), err
}

// offerRepairs names the repairs that could be asked for.
func offerRepairs(w io.Writer, found []located, asked []string) {
	var ids []string
	for _, id := range onRequest() {
		offered := slices.ContainsFunc(found, func(f located) bool { return f.Rule == id })
		if offered && !slices.Contains(asked, id) {
			ids = append(ids, id)
		}
	}
	if len(ids) > 0 {
		fmt.Fprintf(w, "more on request: --repair %s\n", strings.Join(ids, ","))
	}
}

func printRepairs(w io.Writer, repairs []fix.Repair, write bool) {
	made := 0
	for _, r := range repairs {
		done := r.What
		if r.Failed {
			done = "not repaired: the way it is written can't be changed in place; by hand: twelvefold explain " + r.Rule
		} else {
			made++
		}
		fmt.Fprintf(w, "%s:%d: %s/%s: %s/%s %s: %s\n", r.Object.File, r.Line, r.Object.Kind, r.Object.Name, r.Factor, r.Rule, r.Path, done)
	}
	repaired := "repairs"
	if made == 1 {
		repaired = "repair"
	}
	would := "can be made: add --write"
	if write {
		would = "made"
	}
	if made == 0 {
		would = "made: nothing can be repaired safely"
	}
	fmt.Fprintf(w, "%d %s %s\n", made, repaired, would)
}
