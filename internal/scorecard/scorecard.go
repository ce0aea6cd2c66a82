// Package scorecard sums up how far workloads are twelve-factor: a grid of factors by workloads, with the findings
// behind it, as one HTML page.
package scorecard

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"twelvefold.dev/internal/explain"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/review"
)

// Card is the result of a review of workloads.
type Card struct {
	Time      time.Time
	Policy    string     // its hash
	Workloads []Workload // the worst first
	Factors   []Factor   // all twelve
	Rules     []Rule     // that found something, the one of most workloads first
	Levels    []Count    // findings by level, deny first
	Verdicts  []Count    // workloads by their worst finding, deny first
	Owned     int        // objects that were left out since their owner is there
	Gaps      []string   // what could not be read, and what comes of it
}

// Count is how many there are of a state.
type Count struct {
	State State
	N     int
}

// Workload is one object with a pod.
type Workload struct {
	Kind, Namespace, Name string
	File                  string
	Line                  int
	Worst                 State
	Cells                 []Cell // one for each factor
}

// Cell is what was found of a factor in a workload.
type Cell struct {
	Factor   policy.Factor
	State    State
	Findings []policy.Finding // the strictest first
}

// Factor is a column of the grid.
type Factor struct {
	policy.Factor
	Counts []Count // workloads by state, deny first
}

// Rule is what one rule found.
type Rule struct {
	ID, Title string
	Factor    policy.Factor
	Worst     State
	Findings  int
	Workloads int
}

// State is what a cell of the grid says. States are ordered: a higher one is worse.
type State int

// The states.
const (
	NotAssessable State = iota // no rule looks at it
	Pass
	Audit
	Warn
	Deny
)

// States are all states, the worst first.
var States = []State{Deny, Warn, Audit, Pass, NotAssessable}

func (s State) String() string {
	return []string{"not assessable", "pass", "audit", "warn", "deny"}[s]
}

// Class is the state as a word for style sheets.
func (s State) Class() string { return strings.ReplaceAll(s.String(), " ", "-") }

// Verdict says what the state means for a workload.
func (s State) Verdict() string {
	return []string{"not assessable", "without a finding", "with notes for reports only", "warned about", "denied"}[s]
}

func stateOf(level policy.Level) State {
	return map[policy.Level]State{policy.Audit: Audit, policy.Warn: Warn, policy.Deny: Deny}[level]
}

// Add reviews inputs. Objects without a pod are passed over, and so are those that belong to one of the others: the pods of
// a Deployment say the same as the Deployment, only more often. The inputs of a namespace belong together.
func (c *Card) Add(inputs []review.Input) error {
	owners := owners(inputs)
	for _, in := range inputs {
		c.Time, c.Policy = in.Facts.Now, in.Policy.Hash()
		if owned(in, owners) {
			if _, pod, _ := in.Object.Template(); pod {
				c.Owned++
			}
			continue
		}
		w, judged, err := workload(in)
		if err != nil {
			return fmt.Errorf("%s: %w", in.Object.Place(), err)
		}
		if judged {
			c.Workloads = append(c.Workloads, w)
		}
	}
	return nil
}

// Sum counts what was added, and brings it into order. Nothing may be added afterwards.
func (c *Card) Sum() {
	slices.SortStableFunc(c.Workloads, func(a, b Workload) int {
		return cmp.Or(cmp.Compare(b.Worst, a.Worst), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
	c.count()
}

func workload(in review.Input) (w Workload, judged bool, err error) {
	assessed, err := review.Assessed(in)
	if err != nil || assessed == nil {
		return w, false, err
	}
	verdict, err := review.Full(in)
	if err != nil {
		return w, false, err
	}
	w = Workload{Kind: in.Object.Kind, Namespace: in.Facts.Namespace, Name: in.Object.Name, File: in.Object.File, Line: in.Object.Line}
	for _, factor := range policy.Factors {
		cell := Cell{Factor: factor}
		if assessed[factor] {
			cell.State = Pass
		}
		for _, f := range verdict.Findings {
			if f.Factor == factor {
				cell.Findings = append(cell.Findings, f)
				cell.State = max(cell.State, stateOf(f.Level))
			}
		}
		slices.SortStableFunc(cell.Findings, func(a, b policy.Finding) int { return cmp.Compare(b.Level, a.Level) })
		w.Worst = max(w.Worst, cell.State)
		w.Cells = append(w.Cells, cell)
	}
	return w, true, nil
}

// Found says whether there is any finding.
func (w Workload) Found() bool { return w.Worst > Pass }

type key struct{ kind, namespace, name string }

// owners are the UIDs of all objects that have a pod.
func owners(inputs []review.Input) map[key]string {
	all := map[key]string{}
	for _, in := range inputs {
		if _, pod, _ := in.Object.Template(); pod {
			all[key{in.Object.Kind, in.Facts.Namespace, in.Object.Name}] = string(metadata(in).UID)
		}
	}
	return all
}

// owned says whether the object's controller is among the others: by its UID too, where both tell it, since anyone can
// write an ownerReference.
func owned(in review.Input, owners map[key]string) bool {
	meta := metadata(in)
	owner := metav1.GetControllerOf(&meta)
	if owner == nil {
		return false
	}
	if uid, found := owners[key{owner.Kind, in.Facts.Namespace, owner.Name}]; found {
		return uid == "" || owner.UID == "" || uid == string(owner.UID)
	}
	above := policy.OwnerOf(&meta) // the Deployment of a ReplicaSet that is not among them: dumps seldom hold those
	_, found := owners[key{above.Kind, in.Facts.Namespace, above.Name}]
	return found
}

func metadata(in review.Input) metav1.ObjectMeta {
	var object struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if json.Unmarshal(in.Object.JSON, &object) != nil {
		return metav1.ObjectMeta{} // the review says what is wrong with it
	}
	return object.Metadata
}

// count fills in the sums.
func (c *Card) count() {
	for i, factor := range policy.Factors {
		f := Factor{Factor: factor}
		for _, state := range States {
			f.Counts = append(f.Counts, Count{state, c.having(func(w Workload) bool { return w.Cells[i].State == state })})
		}
		c.Factors = append(c.Factors, f)
	}
	for _, state := range States {
		c.Verdicts = append(c.Verdicts, Count{state, c.having(func(w Workload) bool { return w.Worst == state })})
	}
	rules := map[string]*Rule{}
	levels := map[State]int{}
	for _, w := range c.Workloads {
		seen := map[string]bool{}
		for _, cell := range w.Cells {
			for _, f := range cell.Findings {
				r := rules[f.Rule]
				if r == nil {
					topic, _ := explain.Find(f.Rule) // a rule of the policy's own has no page
					r = &Rule{ID: f.Rule, Title: cmp.Or(topic.Title, f.Message), Factor: f.Factor}
					rules[f.Rule] = r
				}
				r.Findings++
				r.Worst = max(r.Worst, stateOf(f.Level))
				if !seen[f.Rule] {
					seen[f.Rule] = true
					r.Workloads++
				}
				levels[stateOf(f.Level)]++
			}
		}
	}
	for _, state := range []State{Deny, Warn, Audit} {
		c.Levels = append(c.Levels, Count{state, levels[state]})
	}
	for _, r := range rules {
		c.Rules = append(c.Rules, *r)
	}
	slices.SortFunc(c.Rules, func(a, b Rule) int {
		return cmp.Or(cmp.Compare(b.Worst, a.Worst), cmp.Compare(b.Workloads, a.Workloads), strings.Compare(a.ID, b.ID))
	})
}

func (c *Card) having(is func(Workload) bool) (n int) {
	for _, w := range c.Workloads {
		if is(w) {
			n++
		}
	}
	return n
}
