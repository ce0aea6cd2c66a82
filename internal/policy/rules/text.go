package rules

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/shell"
)

// text is a piece of a pod's spec into which people write what they like, secrets among it.
type text struct {
	Path, Container string
	Name            string // of the variable, flag or header whose value it is; may be empty
	Value           string
	place           place
}

type place int

const (
	inEnv place = iota
	inArgument
	inScript // of sh -c
	inHook   // the exec of a probe or of a lifecycle handler
	inHeader
	inAnnotation
)

// Copies and notes that machines write: what they hold stands elsewhere too, or is no secret.
var machineAnnotations = []string{corev1.LastAppliedConfigAnnotation, "twelvefold.dev/status"}

// maxTexts bounds what is searched of one pod, in bytes: patterns take their time, and a pod of megabytes must not keep
// the webhook from answering the others. Real pods hold a few kilobytes.
const maxTexts = 256 << 10

// texts are all of them, in the pod's order, up to maxTexts.
func (s *Subject) texts() iter.Seq[text] {
	return func(unbounded func(text) bool) {
		left := maxTexts
		yield := func(t text) bool {
			left -= len(t.Value)
			return left >= 0 && unbounded(t)
		}
		for _, c := range s.containers {
			if !c.texts(yield) {
				return
			}
		}
		for _, key := range slices.Sorted(maps.Keys(s.Pod.Annotations)) {
			t := text{Path: fmt.Sprintf("metadata.annotations[%q]", key), Value: s.Pod.Annotations[key], place: inAnnotation}
			if !slices.Contains(machineAnnotations, key) && !yield(t) {
				return
			}
		}
	}
}

func (c Container) texts(yield func(text) bool) bool {
	for i := range c.Env {
		if e := &c.Env[i]; e.Value != "" && !yield(text{c.EnvPath(e.Name), c.Container.Name, e.Name, e.Value, inEnv}) {
			return false
		}
	}
	script := inArgument
	if shell.IsScript(c.Argv()) {
		script = inScript
	}
	if !c.words(".command", c.Command, script, yield) || !c.words(".args", c.Args, script, yield) {
		return false
	}
	for _, p := range []struct {
		field string
		probe *corev1.Probe
	}{{".livenessProbe", c.LivenessProbe}, {".readinessProbe", c.ReadinessProbe}, {".startupProbe", c.StartupProbe}} {
		if p.probe != nil && !c.handler(p.field, p.probe.Exec, p.probe.HTTPGet, yield) {
			return false
		}
	}
	if c.Lifecycle == nil {
		return true
	}
	for _, h := range []struct {
		field   string
		handler *corev1.LifecycleHandler
	}{{".lifecycle.postStart", c.Lifecycle.PostStart}, {".lifecycle.preStop", c.Lifecycle.PreStop}} {
		if h.handler != nil && !c.handler(h.field, h.handler.Exec, h.handler.HTTPGet, yield) {
			return false
		}
	}
	return true
}

func (c Container) handler(field string, exec *corev1.ExecAction, get *corev1.HTTPGetAction, yield func(text) bool) bool {
	if exec != nil && !c.words(field+".exec.command", exec.Command, inHook, yield) {
		return false
	}
	if get == nil {
		return true
	}
	for _, h := range get.HTTPHeaders {
		path := fmt.Sprintf("%s%s.httpGet.httpHeaders[name=%q].value", c.Path, field, h.Name)
		if !yield(text{path, c.Container.Name, h.Name, h.Value, inHeader}) {
			return false
		}
	}
	return get.Path == "" || yield(text{c.Path + field + ".httpGet.path", c.Container.Name, "", get.Path, inHeader})
}

// words are an argument vector. A flag names its value: --password=x, or --password and then x.
func (c Container) words(field string, argv []string, place place, yield func(text) bool) bool {
	settings := shell.Settings(argv)
	for i, word := range argv {
		t := text{Path: fmt.Sprintf("%s%s[%d]", c.Path, field, i), Container: c.Container.Name, Value: word, place: place}
		if s, ok := settings[i]; ok {
			t.Name, t.Value = s.Name, s.Value
		}
		if !yield(t) {
			return false
		}
	}
	return true
}

const keyVaultReference = `"@Microsoft.KeyVault(VaultName=<vault>;SecretName=<name>)"`

// fromKeyVault is the fix of a secret: how it comes from Key Vault to where it stands now.
func (t text) fromKeyVault() string {
	switch t.place {
	case inEnv:
		return "take it from Key Vault:\n  value: " + keyVaultReference
	case inArgument:
		return "take it from Key Vault into a variable, and write $(SECRET) here:\n  env: [{name: SECRET, value: " + keyVaultReference + "}]"
	case inScript:
		return "take it from Key Vault into a variable, and write \"$SECRET\" in the script:\n  env: [{name: SECRET, value: " + keyVaultReference + "}]"
	case inHook:
		return "take it from Key Vault into a variable, and run sh -c with \"$SECRET\" here, for $(SECRET) is not expanded:\n  env: [{name: SECRET, value: " + keyVaultReference + "}]"
	case inHeader:
		return "ask for a path that needs no credentials: an HTTP probe can't read a secret"
	default:
		return "delete it, since whoever may read the pod reads its annotations; take it from Key Vault:\n  env.twelvefold.dev/<NAME>: " + keyVaultReference
	}
}
