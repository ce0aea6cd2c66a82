package fix_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/fix"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
)

func baseline(o manifest.Object) review.Input {
	return review.Input{Object: o, Policy: policy.Default(rules.Catalogue{}), Facts: policy.Facts{Namespace: "default", Offline: true}}
}

// file repairs a text; it returns it, and what was repaired or not.
func file(t testing.TB, text string, asked ...string) (string, []string) {
	t.Helper()
	fixed, repairs, err := fix.File("in.yaml", []byte(text), baseline, asked...)
	if err != nil {
		t.Fatal(err)
	}
	var what []string
	for _, r := range repairs {
		if r.Failed {
			what = append(what, r.Rule+" failed")
		} else {
			what = append(what, r.Rule)
		}
	}
	return string(fixed), what
}

const head = "kind: Pod\napiVersion: v1\nmetadata: {labels: {app.kubernetes.io/name: a}}\nspec:\n"

func TestFile(t *testing.T) {
	for name, c := range map[string]struct {
		in, out string
		what    string
		asked   []string
	}{
		"a variable in a block": {
			head + "  containers:\n  - name: a\n    # why\n    image: a:1 # tag\n    command: [python, a.py]\n",
			head + "  containers:\n  - name: a\n    # why\n    image: a:1 # tag\n    env:\n    - name: PYTHONUNBUFFERED\n      value: \"1\"\n    command: [python, a.py]\n", "buffered-stdout", nil},
		"beside others": {
			head + "  containers:\n  - name: a\n    command: [python, a.py]\n    env: # all\n      # first\n      - name: A\n        value: b\n",
			head + "  containers:\n  - name: a\n    command: [python, a.py]\n    env: # all\n      - name: PYTHONUNBUFFERED\n        value: \"1\"\n      # first\n      - name: A\n        value: b\n", "buffered-stdout", nil},
		"beside others on one line": {
			head + "  containers:\n  - name: a\n    command: [python, a.py]\n    env:\n    - {name: A, value: b}\n",
			head + "  containers:\n  - name: a\n    command: [python, a.py]\n    env:\n    - {name: PYTHONUNBUFFERED, value: \"1\"}\n    - {name: A, value: b}\n", "buffered-stdout", nil},
		"in a flow list": {
			head + "  containers:\n  - {name: a, command: [python, a.py], env: [{name: A, value: b}]}\n",
			head + "  containers:\n  - {name: a, command: [python, a.py], env: [{name: PYTHONUNBUFFERED, value: \"1\"}, {name: A, value: b}]}\n", "buffered-stdout", nil},
		"in a flow mapping without end of line": {
			head + "  containers: [{name: 'a', command: [python, a.py]}]",
			head + "  containers: [{name: 'a', env: [{name: PYTHONUNBUFFERED, value: \"1\"}], command: [python, a.py]}]", "buffered-stdout", nil},
		"at the end without end of line": {
			head + "  containers:\n  - command: [python, a.py]\n    name: a",
			head + "  containers:\n  - command: [python, a.py]\n    name: a\n    env:\n    - name: PYTHONUNBUFFERED\n      value: \"1\"\n", "buffered-stdout", nil},
		"with Windows' line ends": {
			strings.ReplaceAll(head+"  containers:\n  - name: a\n    command: [python, a.py]\n", "\n", "\r\n"),
			strings.ReplaceAll(head+"  containers:\n  - name: a\n    env:\n    - name: PYTHONUNBUFFERED\n      value: \"1\"\n    command: [python, a.py]\n", "\n", "\r\n"), "buffered-stdout", nil},
		"in JSON": {
			`{"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "command": ["python", "a.py"]}]}}` + "\n",
			`{"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"app": "a", "app.kubernetes.io/name": "a"}}, "spec": {"containers": [{"name": "a", "env": [{"name": "PYTHONUNBUFFERED", "value": "1"}], "command": ["python", "a.py"]}]}}` + "\n", "app-identity buffered-stdout", []string{"app-identity"}},
		"an anchor that two share": {
			head + "  initContainers:\n  - {name: b, args: &args [sh, -c, ./a > /var/log/a.log]}\n  containers:\n  - {name: a, args: *args}\n",
			head + "  initContainers:\n  - {name: b, args: &args [sh, -c, ./a > /var/log/a.log]}\n  containers:\n  - {name: a, args: *args}\n", "log-redirect failed log-redirect failed", nil},
		"the redirection of a script": {
			head + "  containers:\n  - name: a\n    command:\n    - sh\n    - -c\n    - |-\n      # start\n        exec ./a > /var/log/a.log\n",
			head + "  containers:\n  - name: a\n    command:\n    - sh\n    - -c\n    - |-\n      # start\n        exec ./a\n", "log-redirect", nil},
		"of a folded one": {
			head + "  containers:\n  - name: a\n    command:\n    - sh\n    - -c\n    - >-\n      exec\n      ./a > /var/log/a.log\n",
			head + "  containers:\n  - name: a\n    command:\n    - sh\n    - -c\n    - >-\n      exec\n      ./a > /var/log/a.log\n", "log-redirect failed", nil},
		"of a quoted one": {
			head + "  containers:\n  - name: a\n    command: [sh, -c, 'echo \"it''s\"; exec ./a > /var/log/a.log', \"é\"]\n",
			head + "  containers:\n  - name: a\n    command: [sh, -c, 'echo \"it''s\"; exec ./a', \"é\"]\n", "log-redirect", nil},
		"a shell in front of the app": {
			head + "  containers:\n  - name: a\n    command: [/bin/sh, -c]\n    args:\n    - |\n      set -e\n\n      cd /app # here\n      ./a --port=1\n",
			head + "  containers:\n  - name: a\n    command: [/bin/sh, -c]\n    args:\n    - |\n      set -e\n\n      cd /app # here\n      exec ./a --port=1\n", "signal-swallowing-shell", nil},
		"a hook reads the file": {
			head + "  containers:\n  - name: a\n    command: [sh, -c, ./a > /var/log/a.log]\n    livenessProbe: {exec: {command: [test, -s, /var/log/a.log]}}\n",
			head + "  containers:\n  - name: a\n    command: [sh, -c, ./a > /var/log/a.log]\n    livenessProbe: {exec: {command: [test, -s, /var/log/a.log]}}\n", "", nil},
		"another container reads it": {
			head + "  volumes: [{name: l, emptyDir: {}}]\n  containers:\n  - {name: a, command: [sh, -c, ./a > /var/log/a.log], volumeMounts: [{name: l, mountPath: /var/log}]}\n  - {name: b, volumeMounts: [{name: l, mountPath: /l}]}\n",
			head + "  volumes: [{name: l, emptyDir: {}}]\n  containers:\n  - {name: a, command: [sh, -c, ./a > /var/log/a.log], volumeMounts: [{name: l, mountPath: /var/log}]}\n  - {name: b, volumeMounts: [{name: l, mountPath: /l}]}\n", "", nil},
		"a label of a CronJob in a List": {
			"apiVersion: v1\nkind: List\nitems:\n- apiVersion: batch/v1\n  kind: CronJob\n  metadata: {name: a}\n  spec:\n    jobTemplate:\n      spec:\n        template:\n          metadata:\n            labels:\n              tier: b # x\n              app: \"a\"\n          spec: {containers: []}\n",
			"apiVersion: v1\nkind: List\nitems:\n- apiVersion: batch/v1\n  kind: CronJob\n  metadata: {name: a}\n  spec:\n    jobTemplate:\n      spec:\n        template:\n          metadata:\n            labels:\n              tier: b # x\n              app: \"a\"\n              app.kubernetes.io/name: a\n          spec: {containers: []}\n", "app-identity", []string{"app-identity"}},
		"a label that YAML would read as a number": {
			"kind: Pod\napiVersion: v1\nmetadata:\n  labels:\n    app: \"12\"\nspec: {containers: []}\n",
			"kind: Pod\napiVersion: v1\nmetadata:\n  labels:\n    app: \"12\"\n    app.kubernetes.io/name: \"12\"\nspec: {containers: []}\n", "app-identity", []string{"app-identity"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, what := file(t, c.in, c.asked...)
			if diff := cmp.Diff(c.out, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if strings.Join(what, " ") != c.what {
				t.Errorf("repaired %q, not %q", what, c.what)
			}
		})
	}
}

// Every repair that there is, in the ways in which people write manifests.
func TestEveryRepair(t *testing.T) {
	for _, name := range reviewtest.Files(t, "testdata/*.in.yaml") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		fixed, what := file(t, string(text), rules.Catalogue{}.Repairable()...)
		reviewtest.Golden(t, strings.Replace(name, ".in.", ".out.", 1), []byte(fixed))
		if i := slices.IndexFunc(what, func(w string) bool { return strings.HasSuffix(w, "failed") }); i >= 0 {
			t.Errorf("%s: %s", name, what[i])
		}
	}
}

// What the webhook adds though no rule asks for it is written only for who asks.
func TestReleaseIsNotWritten(t *testing.T) {
	text := head + "  containers:\n  - {name: a, image: \"a:1.4.2\"}\n"
	if fixed, what := file(t, text); fixed != text || len(what) > 0 {
		t.Errorf("repaired %q:\n%s", what, fixed)
	}
	if fixed, what := file(t, text, "release-id"); len(what) != 1 || !strings.Contains(fixed, "app.kubernetes.io/version: 1.4.2}") {
		t.Errorf("repaired %q:\n%s", what, fixed)
	}
}

// What ignores, exempts or switches off a rule holds for repairs, too.
func TestPolicyDecides(t *testing.T) {
	text := head + "  containers:\n  - {name: istio-proxy, command: [python, a.py]}\n  - {name: a, command: [python, a.py]}\n"
	p, err := policy.Parse([]byte("apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec: {rules: {buffered-stdout: {level: off}}}\n"), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	_, repairs, err := fix.File("in.yaml", []byte(text), func(o manifest.Object) review.Input {
		return review.Input{Object: o, Policy: p, Facts: policy.Facts{Offline: true}}
	})
	if err != nil || len(repairs) > 0 {
		t.Errorf("%v repaired, %v", repairs, err)
	}
	if fixed, what := file(t, text); len(what) != 1 || strings.Count(fixed, "PYTHONUNBUFFERED") != 1 {
		t.Errorf("repaired %q:\n%s", what, fixed)
	}
}

// Over all fixtures of the rules: repairs are made once, keep every line that they don't touch, and can be read.
func TestFixtures(t *testing.T) {
	made := 0
	for _, file := range append(reviewtest.Files(t, "../policy/rules/testdata/*/*/*.yaml"), reviewtest.Files(t, "../../examples/*.yaml")...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		made += repairTwice(t, string(text))
	}
	if made < 10 {
		t.Errorf("only %d repairs in all fixtures", made)
	}
}

func repairTwice(t testing.TB, text string) (made int) {
	t.Helper()
	if _, err := manifest.Read(strings.NewReader(text), "in.yaml"); err != nil {
		return 0
	}
	fixed, repairs, err := fix.File("in.yaml", []byte(text), baseline)
	if err != nil {
		return 0
	}
	for _, r := range repairs {
		if !r.Failed {
			made++
		}
	}
	if made == 0 && string(fixed) != text {
		t.Errorf("changed without a repair:\n%s\nis now\n%s", text, fixed)
	}
	again, what := file(t, string(fixed))
	if again != string(fixed) {
		t.Errorf("repaired twice (%q):\n%s\nis now\n%s", what, fixed, again)
	}
	return made
}

func FuzzFile(f *testing.F) {
	f.Add(head + "  containers:\n  - name: a\n    command: [sh, -c, 'exec ./a > /var/log/a.log']\n")
	f.Add(head + "  containers:\n  - {name: a, command: [python, a.py], env: []}\n---\n# x\n")
	f.Fuzz(func(t *testing.T, text string) { repairTwice(t, text) })
}
