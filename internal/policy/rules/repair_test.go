package rules_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
)

// Every repair has fixtures, testdata/<id>/repair/*.yaml: pods that it mends, and pods that it leaves alone. Beside each
// stands what it does.
func TestRepairs(t *testing.T) {
	for _, rule := range rules.All() {
		if rule.Mend == nil {
			continue
		}
		t.Run(rule.ID, func(t *testing.T) {
			mended, left := 0, 0
			for _, file := range reviewtest.Files(t, filepath.Join("testdata", rule.ID, "repair", "*.yaml")) {
				var text bytes.Buffer
				for _, in := range reviewtest.Load(t, file) {
					pod := opened(t, in)
					if pod == nil {
						continue
					}
					fmt.Fprintf(&text, "%s/%s\n", in.Object.Kind, in.Object.Name)
					if steps := stepsOf(t, pod, rule); len(steps) > 0 {
						mended++
						text.WriteString(strings.Join(steps, ""))
					} else {
						left++
						text.WriteString("  is left alone\n")
					}
				}
				reviewtest.Golden(t, strings.TrimSuffix(file, ".yaml")+".txt", text.Bytes())
			}
			if mended == 0 || left == 0 {
				t.Errorf("%d pods are mended and %d left alone; there must be some of both", mended, left)
			}
		})
	}
}

// stepsOf are what a rule's repair does to a pod, with the operations of each step.
func stepsOf(t *testing.T, pod *review.Pod, rule *rules.Rule) (steps []string) {
	t.Helper()
	before := 0
	rules.Mend(pod.Edit, pod.Policy, pod.Facts, func(r *rules.Rule, done rules.Repaired) {
		operations := pod.Edit.Operations()[before:]
		before += len(operations)
		if r != rule {
			return
		}
		step := fmt.Sprintf("  %s: %s\n", done.Path, done.What)
		for _, o := range operations {
			value, err := json.Marshal(o.Value)
			if err != nil {
				t.Fatal(err)
			}
			step += fmt.Sprintf("    %s %s %s\n", o.Operation, o.Path, value)
		}
		steps = append(steps, step)
	})
	if rest := pod.Edit.Operations()[before:]; len(rest) > 0 {
		t.Errorf("nobody tells of %v", rest)
	}
	return steps
}

func opened(t *testing.T, in review.Input) *review.Pod {
	t.Helper()
	pod, err := review.Open(in)
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

// Over all fixtures of all rules: where a repair is made its rule has less to report, or nothing new at least, and no rule
// has anything new to warn of or to deny. Made once more, it finds nothing to do.
func TestRepairsDoNoHarm(t *testing.T) {
	asked := [][]string{nil, rules.Catalogue{}.Repairable()}
	for _, rule := range rules.All() {
		if rule.RuleInfo.Repair == policy.OnRequest {
			asked = append(asked, []string{rule.ID})
		}
	}
	for _, file := range reviewtest.Files(t, filepath.Join("testdata", "*", "*", "*.yaml")) {
		for i, in := range reviewtest.Load(t, file) {
			pod := opened(t, in)
			if pod == nil {
				continue
			}
			before := reported(pod)
			for _, ids := range asked {
				pod := opened(t, in)
				pod.Policy = pod.Policy.ByHand(ids)
				mended := map[string]bool{}
				rules.Mend(pod.Edit, pod.Policy, pod.Facts, func(r *rules.Rule, _ rules.Repaired) { mended[r.ID] = true })
				after := reported(pod)
				for f, level := range after {
					if before[f] < level && level >= policy.Warn {
						t.Errorf("%s, object %d, asked for %v: new is %s %v", file, i, ids, level, f)
					}
				}
				for id := range mended {
					if was, is := count(before, id), count(after, id); is > was || is == was && was > 0 && id != "release-id" {
						t.Errorf("%s, object %d, asked for %v: %s reports %d, and before %d", file, i, ids, id, is, was)
					}
				}
				rules.Mend(pod.Edit, pod.Policy, pod.Facts, func(r *rules.Rule, done rules.Repaired) {
					t.Errorf("%s, object %d, asked for %v: %s once more: %s", file, i, ids, r.ID, done.What)
				})
			}
		}
	}
}

// finding is what a rule looks at; of it, it may say less than before.
type finding struct{ rule, path string }

func reported(pod *review.Pod) map[finding]policy.Level {
	found := map[finding]policy.Level{}
	for _, f := range rules.Judge(rules.NewSubject(pod.Edit.Pod(), pod.Policy, pod.Facts)) {
		found[finding{f.Rule, f.Path}] = f.Level
	}
	return found
}

func count(found map[finding]policy.Level, rule string) (n int) {
	for f := range found {
		if f.rule == rule {
			n++
		}
	}
	return n
}

// The parameters that rules come with pass their own check.
func TestDefaultParamsAreValid(t *testing.T) {
	for _, rule := range rules.All() {
		if checked, ok := rule.Params.(interface{ Validate() error }); ok {
			if err := checked.Validate(); err != nil {
				t.Errorf("%s: %v", rule.ID, err)
			}
		}
	}
}

// Whatever pod comes: the patch of all repairs applies to it and leads to the pod as it was edited, which has nothing left
// to repair.
func FuzzMend(f *testing.F) {
	for _, file := range reviewtest.Files(f, filepath.Join("testdata", "*", "repair", "*.yaml")) {
		for _, in := range reviewtest.Load(f, file) {
			if template, hasPod, err := in.Object.Template(); err == nil && hasPod {
				f.Add([]byte(template.JSON), in.Object.Kind)
			}
		}
	}
	effective := policy.Default(rules.Catalogue{}).For("shop", nil).ByHand(rules.Catalogue{}.Repairable())
	f.Fuzz(func(t *testing.T, pod []byte, kind string) {
		facts := reviewtest.Facts
		facts.Offline, facts.Workload = true, policy.Workload{Kind: kind, Name: "shop-29384720"}
		edit, err := podpatch.Decode(pod)
		if err != nil {
			return
		}
		rules.Mend(edit, effective, facts, func(*rules.Rule, rules.Repaired) {})
		operations, err := json.Marshal(edit.Operations())
		if err != nil {
			t.Fatal(err)
		}
		mended, err := podpatch.Apply(operations, pod)
		if err != nil {
			t.Fatalf("%s does not apply: %v", operations, err)
		}
		again, err := podpatch.Decode(mended)
		if err != nil {
			t.Fatal(err)
		}
		rules.Mend(again, effective, facts, func(r *rules.Rule, done rules.Repaired) {
			t.Errorf("%s, once more: %s: %s", mended, r.ID, done.What)
		})
	})
}
