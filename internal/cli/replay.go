package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"twelvefold.dev/internal/inventory"
	"twelvefold.dev/internal/live"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/terminal"
)

func replayCommand() *cobra.Command {
	var in input
	var against, output string
	c := &cobra.Command{
		Use:   "replay --policy FILE -f DUMP|- | --cluster",
		Short: "Say what a policy would deny of what runs today",
		Long: "Judges what a cluster runs, or a dump as kubectl get -o yaml or -o json writes it, and counts workloads: pods and\n" +
			"ReplicaSets count as the workload that made them. Jobs and pods that have ended do not count, nor do the namespaces of\n" +
			"Kubernetes and AKS. With --against, it says what the policy would change. Without --policy, the policy is the cluster's own.\n\n" +
			"Exit status: 0 whatever is denied, 2 bad usage or input that can't be read.",
		Example: "  twelvefold replay --policy new.yaml --cluster\n" +
			"  kubectl get ns,sa,deploy,sts,ds,cronjob,job,pod,svc,ing,hpa,pvc,limits -A -o yaml > dump.yaml\n" +
			"  twelvefold replay --policy new.yaml --against current.yaml -f dump.yaml",
		RunE: func(c *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("-o %q: want text or json", output)
			}
			if in.policyFile == "" && !in.cluster {
				return errors.New("nothing to replay: name the policy with --policy, or take a cluster's own with --cluster")
			}
			report, err := in.replay(c, args, against)
			if err != nil {
				return err
			}
			if output == "json" {
				return writeIndented(c.OutOrStdout(), report)
			}
			return report.text(c.OutOrStdout(), in.policyName, against)
		},
	}
	in.addClusterFlags(c)
	c.Flags().StringVar(&against, "against", "", "the policy of today, to compare with")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

// replayed is what a policy would do. Its JSON is stable.
type replayed struct {
	Workloads int            `json:"workloads"`
	Denied    int            `json:"denied"`
	Warned    int            `json:"warned"` // and not denied
	Rules     []replayedRule `json:"rules"`  // that deny
	Against   *compared      `json:"against,omitempty"`
	Gaps      []string       `json:"gaps,omitempty"` // what of a cluster could not be read
}

type replayedRule struct {
	Rule   string        `json:"rule"`
	Factor policy.Factor `json:"factor"`
	Denies []workload    `json:"denies"`
}

// compared counts workloads: those that only one of two policies denies.
type compared struct {
	NewlyDenied    []workload `json:"newlyDenied"`
	NoLongerDenied []workload `json:"noLongerDenied"`
}

type workload struct {
	Namespace string `json:"namespace"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	New       bool   `json:"new,omitempty"` // the rule of the other policy does not deny it
}

func (w workload) String() string { return w.Namespace + "/" + w.Kind + "/" + w.Name }

func (in *input) replay(c *cobra.Command, args []string, against string) (replayed, error) {
	now, before := verdicts{}, verdicts(nil)
	var old *policy.Policy
	if against != "" {
		var err error
		if old, err = readPolicy(against); err != nil {
			return replayed{}, err
		}
		before = verdicts{}
	}
	for inputs, err := range in.batches(c, args) {
		if err != nil {
			return replayed{}, err
		}
		if !in.cluster { // of which only what is asked for was read
			inputs = slices.DeleteFunc(inputs, func(i review.Input) bool { return live.System(i.Facts.Namespace, i.Facts.NamespaceLabels) })
		}
		inputs, owners, err := workloadsOf(inputs)
		if err == nil {
			err = now.add(inputs, owners)
		}
		if err == nil && old != nil {
			for i := range inputs {
				inputs[i].Policy = old
			}
			err = before.add(inputs, owners)
		}
		if err != nil {
			return replayed{}, err
		}
	}
	report := now.report(before)
	report.Gaps = in.gaps
	return report, nil
}

// workloadsOf are the objects that make pods, without those that have ended or whose workload is there itself, and the
// workload of each.
func workloadsOf(inputs []review.Input) (kept []review.Input, owners []workload, err error) {
	f := newFolder(inputs)
	for _, in := range inputs {
		_, ok, err := in.Object.Template()
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", in.Object.Place(), err)
		}
		self := identityOf(in)
		owner := f.owner(self)
		switch {
		case !ok, ended(in.Object),
			owner.Kind == "Node",                     // a mirror of what the kubelet runs by itself
			owner != self && f.makesPods[owner],      // the workload's own template says it
			owner != self && scaledToZero(in.Object): // a Deployment's history
			continue
		}
		kept, owners = append(kept, in), append(owners, owner)
	}
	return kept, owners, nil
}

// verdicts are, for each workload, the levels of the rules that found something.
type verdicts map[workload]map[ruleKey]policy.Level

type ruleKey struct {
	factor policy.Factor
	rule   string
}

// add judges objects, of which owners are the workloads.
func (v verdicts) add(inputs []review.Input, owners []workload) error {
	for i, in := range inputs {
		verdict, err := review.Full(in)
		if err != nil {
			return fmt.Errorf("%s: %w", in.Object.Place(), err)
		}
		if v[owners[i]] == nil {
			v[owners[i]] = map[ruleKey]policy.Level{}
		}
		for _, f := range verdict.Findings {
			key := ruleKey{f.Factor, f.Rule}
			v[owners[i]][key] = max(v[owners[i]][key], f.Level)
		}
	}
	return nil
}

func (v verdicts) level(w workload) (highest policy.Level) {
	for _, level := range v[w] {
		highest = max(highest, level)
	}
	return highest
}

// report counts; before may be nil.
func (v verdicts) report(before verdicts) replayed {
	r := replayed{Workloads: len(v), Rules: []replayedRule{}}
	if before != nil {
		r.Against = &compared{NewlyDenied: []workload{}, NoLongerDenied: []workload{}}
	}
	rules := map[ruleKey][]workload{}
	for _, w := range slices.SortedFunc(maps.Keys(v), func(a, b workload) int { return strings.Compare(a.String(), b.String()) }) {
		denied := v.level(w) == policy.Deny
		switch {
		case denied:
			r.Denied++
		case v.level(w) == policy.Warn:
			r.Warned++
		}
		for key, level := range v[w] {
			if level == policy.Deny {
				named := w
				named.New = before != nil && before[w][key] < policy.Deny
				rules[key] = append(rules[key], named)
			}
		}
		if before == nil {
			continue
		}
		switch was := before.level(w) == policy.Deny; {
		case denied && !was:
			r.Against.NewlyDenied = append(r.Against.NewlyDenied, w)
		case was && !denied:
			r.Against.NoLongerDenied = append(r.Against.NoLongerDenied, w)
		}
	}
	for _, factor := range policy.Factors {
		for _, key := range slices.SortedFunc(maps.Keys(rules), func(a, b ruleKey) int { return strings.Compare(a.rule, b.rule) }) {
			if key.factor == factor {
				r.Rules = append(r.Rules, replayedRule{key.rule, key.factor, rules[key]})
			}
		}
	}
	return r
}

func (r replayed) text(w io.Writer, name, against string) error {
	paint := terminal.For(w)
	fmt.Fprintf(w, "%s\n", paint.Bold(fmt.Sprintf("%s would deny %d of %d workloads, and warn of %d", name, r.Denied, r.Workloads, r.Warned)))
	for _, rule := range r.Rules {
		fmt.Fprintf(w, "\n%s/%s denies %d:\n", rule.Factor, rule.Rule, len(rule.Denies))
		for _, denied := range rule.Denies {
			mark := ""
			if denied.New {
				mark = paint.Red(" (new)")
			}
			fmt.Fprintf(w, "  %s%s\n", denied, mark)
		}
	}
	if r.Against == nil {
		return nil
	}
	fmt.Fprintf(w, "\nAgainst %s: %d workloads newly denied, %d no longer\n", against, len(r.Against.NewlyDenied), len(r.Against.NoLongerDenied))
	for _, denied := range r.Against.NewlyDenied {
		fmt.Fprintf(w, "  %s %s\n", paint.Red("+"), denied)
	}
	for _, passes := range r.Against.NoLongerDenied {
		fmt.Fprintf(w, "  %s %s\n", paint.Green("-"), passes)
	}
	return nil
}

func writeIndented(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

func identityOf(in review.Input) workload {
	return workload{Namespace: in.Facts.Namespace, Kind: in.Object.Kind, Name: in.Object.Name}
}

// folder finds the workload behind the objects that controllers made for it.
type folder struct {
	controllers map[workload]workload
	makesPods   map[workload]bool
}

func newFolder(inputs []review.Input) folder {
	f := folder{map[workload]workload{}, map[workload]bool{}}
	for _, in := range inputs {
		self := identityOf(in)
		if _, ok, err := in.Object.Template(); ok && err == nil {
			f.makesPods[self] = true
		}
		var object struct{ Metadata metav1.ObjectMeta }
		if json.Unmarshal(in.Object.JSON, &object) != nil {
			continue // the review says what is wrong with it
		}
		if owner := policy.OwnerOf(&object.Metadata); owner.Kind != "" {
			f.controllers[self] = workload{Namespace: self.Namespace, Kind: owner.Kind, Name: owner.Name}
		}
	}
	return f
}

// owner climbs from pods, ReplicaSets and Jobs to what made them. What an operator makes of its own kinds stays as it is.
func (f folder) owner(w workload) workload {
	for range 3 { // Pod, Job, CronJob
		above, ok := f.controllers[w]
		if !ok || w.Kind != "Pod" && w.Kind != "ReplicaSet" && w.Kind != "Job" {
			break
		}
		w = above
	}
	return w
}

func ended(o manifest.Object) bool {
	object := &unstructured.Unstructured{}
	return json.Unmarshal(o.JSON, &object.Object) == nil && inventory.Ended(object)
}

func scaledToZero(o manifest.Object) bool {
	var scaled struct {
		Spec struct{ Replicas *int }
	}
	return json.Unmarshal(o.JSON, &scaled) == nil && scaled.Spec.Replicas != nil && *scaled.Spec.Replicas == 0
}
