package fix

import (
	"bytes"
	"encoding/json"
	"path"
	"slices"
	"strings"

	"gomodules.xyz/jsonpatch/v2"
	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/logs"
	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
)

// plan is a repair and the changes that it takes.
type plan struct {
	Repair
	seen    string // tells two findings in one field apart
	changes []change
}

// target is an object's pod under repair.
type target struct {
	*review.Pod
	findings []policy.Finding
	asked    []string
}

// plansFor are the repairs of what the policy finds in the object's pod. What it does not look at, or what is exempt, is
// left alone.
func plansFor(in review.Input, asked []string) ([]plan, error) {
	pod, err := review.Open(in)
	if err != nil || pod == nil {
		return nil, err
	}
	pod.Policy = pod.Policy.ByHand(asked)
	t := target{pod, rules.Judge(rules.NewSubject(pod.Edit.Pod(), pod.Policy, pod.Facts)), asked}
	return slices.Concat(t.repairs(), t.logs()), nil
}

// find is the finding of a rule at a field of the pod; at any, if the field is empty.
func (t target) find(rule, field string) (policy.Finding, bool) {
	i := slices.IndexFunc(t.findings, func(f policy.Finding) bool { return f.Rule == rule && (f.Path == field || field == "") })
	if i < 0 {
		return policy.Finding{}, false
	}
	return t.findings[i], true
}

// repairs are those of the rules, the same as the webhook's, where there is something to find or somebody asks: what the
// webhook adds to pods although no rule misses it, as the label of their release, would only go stale in a manifest.
func (t target) repairs() (plans []plan) {
	edit, err := podpatch.Decode(t.Template.JSON)
	if err != nil {
		return nil // it was decoded before
	}
	before, text := 0, t.Template.JSON
	rules.Mend(edit, t.Policy, t.Facts, func(r *rules.Rule, done rules.Repaired) {
		changes, after, ok := changesOf(edit.Operations()[before:], text)
		before, text = len(edit.Operations()), after
		if _, found := t.find(r.ID, ""); !ok || !found && !slices.Contains(t.asked, r.ID) {
			return
		}
		at, field := t.Template.Path, t.Template.Field(done.Path)
		if workload, isTemplate := strings.CutSuffix(at, "spec.template"); done.OfWorkload && isTemplate {
			at, field = strings.TrimSuffix(workload, "."), workload+done.Path
		}
		plans = append(plans, plan{Repair{Rule: r.ID, Factor: r.Factor, Path: field, What: done.What}, "", under(at, changes)})
	})
	return plans
}

// changesOf are what a patch of the pod does to its tree.
func changesOf(operations []jsonpatch.Operation, text []byte) (changes []change, after []byte, ok bool) {
	patch, err := json.Marshal(operations)
	if err != nil {
		return nil, text, false
	}
	if after, err = podpatch.Apply(patch, text); err != nil {
		return nil, text, false
	}
	was, err := tree(text)
	if err != nil {
		return nil, after, false
	}
	is, err := tree(after)
	if err != nil {
		return nil, after, false
	}
	changes, ok = difference(was, is, nil)
	return changes, after, ok && len(changes) > 0
}

// under are changes of an object that stands in another one.
func under(at string, changes []change) []change {
	for i := range changes {
		changes[i].path = slices.Concat(pathOf(at), changes[i].path)
	}
	return changes
}

// logRules are the rules that report the signals that can be rewritten.
var logRules = map[logs.Kind]struct{ rule, what string }{
	logs.Option:   {"log-file", "the option is rewritten"},
	logs.Redirect: {"log-redirect", "the redirection is left out"},
}

// logs lets what goes to files go to stdout, where that is certain to work and nobody needs the file.
func (t target) logs() (plans []plan) {
	for _, c := range t.Edit.AllContainers() {
		for _, signal := range logs.Signals(t.Edit.Pod(), c.Get()) {
			rule, known := logRules[signal.Kind]
			f, found := t.find(rule.rule, c.Path()+signal.Field)
			if !known || !found || signal.Name == "tee" || t.needed(c.Get(), signal.Path) {
				continue
			}
			changed := logs.Rewritten(c.Get(), signal, false)
			if changed == nil {
				continue
			}
			if changes, ok := t.rewriting(c, changed); ok {
				plans = append(plans, plan{Repair{Rule: f.Rule, Factor: f.Factor, Path: t.Template.Field(f.Path), What: c.Name() + ": " + signal.Name + ": " + rule.what},
					signal.Seen, under(t.Template.Path, changes)})
			}
		}
	}
	return plans
}

// rewriting are the changes that make a container what it should be. The target's own pod stays as it is.
func (t target) rewriting(c *podpatch.Container, changed *corev1.Container) ([]change, bool) {
	edit, err := podpatch.Decode(t.Template.JSON)
	if err != nil {
		return nil, false
	}
	for _, same := range edit.AllContainers() {
		if same.Path() == c.Path() {
			same.Rewrite(changed)
		}
	}
	changes, _, ok := changesOf(edit.Operations(), t.Template.JSON)
	return changes, ok
}

func tree(text []byte) (value any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	err = decoder.Decode(&value)
	return value, err
}

// needed says whether somebody else may read the file: a probe or hook, another container, whoever has the volume.
func (t target) needed(c *corev1.Container, file string) bool {
	if file == "" {
		return false
	}
	for _, words := range hooksOf(c) {
		if slices.ContainsFunc(words, func(word string) bool { return strings.Contains(word, file) }) {
			return true
		}
	}
	for _, m := range c.VolumeMounts {
		if dir := path.Clean(m.MountPath); dir != "/" && !strings.HasPrefix(file, dir+"/") {
			continue
		}
		private := slices.ContainsFunc(t.Edit.Pod().Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name && v.EmptyDir != nil })
		shares := func(other corev1.Container) bool {
			return other.Name != c.Name && slices.ContainsFunc(other.VolumeMounts, func(o corev1.VolumeMount) bool { return o.Name == m.Name })
		}
		if !private || slices.ContainsFunc(slices.Concat(t.Edit.Pod().Spec.InitContainers, t.Edit.Pod().Spec.Containers), shares) {
			return true
		}
	}
	return false
}

// hooksOf are the commands that the kubelet runs in a container besides its own.
func hooksOf(c *corev1.Container) (commands [][]string) {
	for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if probe != nil && probe.Exec != nil {
			commands = append(commands, probe.Exec.Command)
		}
	}
	if c.Lifecycle != nil {
		for _, handler := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if handler != nil && handler.Exec != nil {
				commands = append(commands, handler.Exec.Command)
			}
		}
	}
	return commands
}
