package fix

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"twelvefold.dev/internal/logs"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
)

// plan is a repair and the changes that it takes.
type plan struct {
	Repair
	seen    string // tells two findings in one field apart
	changes []change
}

// target is an object's pod under repair.
type target struct {
	template manifest.Template
	pod      *corev1.Pod
	findings []policy.Finding
}

// plansFor are the repairs of what the policy finds in the object's pod. What it does not look at, or what is exempt, is
// left alone.
func plansFor(o manifest.Object, view View) ([]plan, error) {
	template, ok, err := o.Template()
	if err != nil || !ok {
		return nil, err
	}
	edit, err := podpatch.Decode(template.JSON)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %s %s: %w", o.File, o.Line, o.Kind, o.Name, err)
	}
	effective, facts := view(o)
	facts.Offline = true
	if template.Path != "" {
		facts.Template, facts.Workload = true, policy.Workload{Kind: o.Kind, Name: o.Name}
	}
	t := target{template, edit.Pod(), rules.Judge(rules.NewSubject(edit.Pod(), effective, facts))}
	return append(t.identity(), t.logs()...), nil
}

// find is the finding of a rule at a field of the pod.
func (t target) find(rule, field string) (policy.Finding, bool) {
	i := slices.IndexFunc(t.findings, func(f policy.Finding) bool { return f.Rule == rule && f.Path == field })
	if i < 0 {
		return policy.Finding{}, false
	}
	return t.findings[i], true
}

func (t target) plan(f policy.Finding, what, seen string, changes ...change) plan {
	return plan{Repair{Rule: f.Rule, Factor: f.Factor, Path: t.template.Field(f.Path), What: what}, seen, changes}
}

const nameLabel = "app.kubernetes.io/name"

// identity names the app as an older label does. Selectors stay as they are.
func (t target) identity() []plan {
	f, found := t.find("app-identity", "metadata.labels")
	if _, has := t.pod.Labels[nameLabel]; !found || has {
		return nil
	}
	for _, key := range []string{"app", "k8s-app"} {
		if name := t.pod.Labels[key]; name != "" && len(validation.IsValidLabelValue(name)) == 0 {
			return []plan{t.plan(f, fmt.Sprintf("the label %s is added, after the label %s", nameLabel, key), "",
				change{path: pathOf(t.template.Path, "metadata", "labels", nameLabel), kind: addKey, text: name})}
		}
	}
	return nil
}

// logRules are the rules that report the signals that can be rewritten.
var logRules = map[logs.Kind]struct{ rule, what string }{
	logs.Option:   {"log-file", "the option is rewritten"},
	logs.Redirect: {"log-redirect", "the redirection is left out"},
	logs.Buffer:   {"buffered-stdout", "PYTHONUNBUFFERED is set"},
}

// logs lets what goes to files go to stdout, where that is certain to work and nobody needs the file.
func (t target) logs() (plans []plan) {
	for _, list := range []struct {
		field      string
		containers []corev1.Container
	}{{"initContainers", t.pod.Spec.InitContainers}, {"containers", t.pod.Spec.Containers}} {
		for i := range list.containers {
			c := &list.containers[i]
			for _, signal := range logs.Signals(t.pod, c) {
				rule, known := logRules[signal.Kind]
				f, found := t.find(rule.rule, fmt.Sprintf("spec.%s[name=%q]%s", list.field, c.Name, signal.Field))
				if !known || !found || signal.Name == "tee" || t.needed(c, signal.Path) {
					continue
				}
				changed := logs.Rewritten(c, signal, false)
				if changed == nil {
					continue
				}
				changes, ok := changesOf(pathOf(t.template.Path, "spec", list.field, i), c, changed)
				if ok && len(changes) > 0 {
					plans = append(plans, t.plan(f, c.Name+": "+signal.Name+": "+rule.what, signal.Seen, changes...))
				}
			}
		}
	}
	return plans
}

// changesOf leads from a container to its rewritten self.
func changesOf(at []any, before, after *corev1.Container) (changes []change, ok bool) {
	below := func(more ...any) []any { return slices.Concat(at, more) }
	for i, e := range before.Env {
		if after.Env[i].Value != e.Value {
			changes = append(changes, change{path: below("env", i, "value"), text: after.Env[i].Value})
		}
	}
	for _, e := range after.Env[len(before.Env):] {
		changes = append(changes, change{path: at, kind: addEnv, env: map[string]string{"name": e.Name, "value": e.Value}})
	}
	for _, list := range []struct {
		field         string
		before, after []string
	}{{"command", before.Command, after.Command}, {"args", before.Args, after.Args}} {
		words, ok := wordChanges(below(list.field), list.before, list.after)
		if !ok {
			return nil, false
		}
		changes = append(changes, words...)
	}
	return changes, true
}

// wordChanges sets words, or drops some; the last ones first, so that indices stay right.
func wordChanges(at []any, before, after []string) (changes []change, ok bool) {
	if len(before) == len(after) {
		for i := range before {
			if before[i] != after[i] {
				changes = append(changes, change{path: slices.Concat(at, []any{i}), text: after[i]})
			}
		}
		return changes, true
	}
	kept := 0
	for i, word := range before {
		if kept < len(after) && word == after[kept] {
			kept++
		} else {
			changes = append(changes, change{path: slices.Concat(at, []any{i}), kind: drop})
		}
	}
	slices.Reverse(changes)
	return changes, kept == len(after)
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
		private := slices.ContainsFunc(t.pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name && v.EmptyDir != nil })
		shares := func(other corev1.Container) bool {
			return other.Name != c.Name && slices.ContainsFunc(other.VolumeMounts, func(o corev1.VolumeMount) bool { return o.Name == m.Name })
		}
		if !private || slices.ContainsFunc(slices.Concat(t.pod.Spec.InitContainers, t.pod.Spec.Containers), shares) {
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
