package review_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	psaapi "k8s.io/pod-security-admission/api"
	psapolicy "k8s.io/pod-security-admission/policy"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
)

// eachFixture runs a test on every object with a pod of every fixture that there is, of mutators and of rules.
func eachFixture(t *testing.T, test func(t *testing.T, in review.Input)) {
	files := reviewtest.Files(t, "../mutate/testdata/*/*/in.yaml")
	files = append(files, reviewtest.Files(t, "../policy/rules/testdata/*/*/*.yaml")...)
	for _, file := range files {
		for i, in := range reviewtest.Load(t, file) {
			if _, hasPod, err := in.Object.Template(); err != nil || !hasPod {
				continue
			}
			name, err := filepath.Rel("..", file)
			if err != nil {
				t.Fatal(err)
			}
			t.Run(fmt.Sprintf("%s/%d", name, i), func(t *testing.T) { test(t, in) })
		}
	}
}

// mutated is the object after the patch; ok is false where it is refused.
func mutated(t *testing.T, in review.Input) (out manifest.Object, ok bool) {
	t.Helper()
	verdict, err := review.Mutate(in)
	if err != nil {
		t.Fatal(err)
	}
	if verdict.Denied() {
		return in.Object, false
	}
	return reviewtest.Apply(t, in.Object, verdict), true
}

// The patch, applied to the raw JSON, gives the pod that the rules were shown.
func TestPatchedPodIsTheJudgedPod(t *testing.T) {
	eachFixture(t, func(t *testing.T, in review.Input) {
		out, ok := mutated(t, in)
		if !ok {
			return
		}
		typed, err := review.MutatedPod(in)
		if err != nil {
			t.Fatal(err)
		}
		if typed == nil {
			typed = podOf(t, in.Object)
		}
		if diff := cmp.Diff(tree(t, typed), tree(t, podOf(t, out))); diff != "" {
			t.Errorf("(-typed +patched):\n%s", diff)
		}
	})
}

// The scan and the command line judge a cluster alike: what either knows of Key Vault and of defaults is another matter.
func TestTheScanJudgesAsTheCommandLine(t *testing.T) {
	apart := []string{"keyvault", "requests-missing", "memory-limit-missing"}
	eachFixture(t, func(t *testing.T, in review.Input) {
		judged := func(in review.Input) (found []string) {
			verdict, err := review.Full(in)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range verdict.Findings {
				if !slices.Contains(apart, f.Rule) {
					found = append(found, fmt.Sprintf("%s %s", f.Level, f))
				}
			}
			return found
		}
		scanned := in
		scanned.Facts.Offline, scanned.Facts.Running = false, true
		if diff := cmp.Diff(judged(in), judged(scanned)); diff != "" {
			t.Errorf("(-command line +scan):\n%s", diff)
		}
	})
}

// A second pass, as reinvocationPolicy IfNeeded makes it, changes nothing, and has nothing to refuse.
func TestSecondPassChangesNothing(t *testing.T) {
	eachFixture(t, func(t *testing.T, in review.Input) {
		out, ok := mutated(t, in)
		if !ok {
			return
		}
		in.Object = out
		again, err := review.Mutate(in)
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Patch) > 0 || again.Denied() {
			t.Errorf("the second pass has the patch %v and the findings %v", again.Patch, again.Findings)
		}
	})
}

// Another webhook may add, between two passes, a container with everything that can be mended, before or behind the others:
// once it has been seen, nothing is left to do.
func TestThirdPassChangesNothing(t *testing.T) {
	eachFixture(t, func(t *testing.T, in review.Input) {
		for _, first := range []bool{true, false} {
			out, ok := mutated(t, in)
			if !ok {
				return
			}
			var object any
			if err := json.Unmarshal(out.JSON, &object); err != nil {
				t.Fatal(err)
			}
			join(object, first)
			data, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			between := in
			between.Object.JSON = data
			if out, ok = mutated(t, between); !ok {
				return
			}
			between.Object = out
			again, err := review.Mutate(between)
			if err != nil {
				t.Fatal(err)
			}
			if len(again.Patch) > 0 {
				t.Errorf("joined first: %v: the third pass has the patch %v", first, again.Patch)
			}
		}
	})
}

// join adds a container to the pod.
func join(value any, first bool) {
	switch value := value.(type) {
	case map[string]any:
		for key, item := range value {
			containers, isList := item.([]any)
			if key != "containers" || !isList {
				join(item, first)
				continue
			}
			joined := map[string]any{"name": "joined", "image": "mesh:1.27.1", "imagePullPolicy": "Never",
				"command":        []any{"sh", "-c", "cd /; python mesh.py"},
				"readinessProbe": map[string]any{"tcpSocket": map[string]any{"port": 7777}}}
			if first {
				value[key] = append([]any{joined}, containers...)
			} else {
				value[key] = append(containers, joined)
			}
		}
	case []any:
		for _, item := range value {
			join(item, first)
		}
	}
}

// Fields that are newer than our API types survive, wherever they stand.
func TestUnknownFieldsSurvive(t *testing.T) {
	eachFixture(t, func(t *testing.T, in review.Input) {
		var object any
		if err := json.Unmarshal(in.Object.JSON, &object); err != nil {
			t.Fatal(err)
		}
		sown := sow(object)
		data, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		in.Object.JSON = data
		out, ok := mutated(t, in)
		if got := strings.Count(string(out.JSON), unknownField); ok && got != sown {
			t.Errorf("%d of %d unknown fields are left", got, sown)
		}
	})
}

const unknownField = "fieldOfTheFuture"

// sow puts an unknown field into every object that no mutator replaces, and counts them. Maps of strings would take it
// for one of their own.
func sow(value any) (sown int) {
	switch value := value.(type) {
	case map[string]any:
		for key, item := range value {
			switch key {
			case "annotations", "labels", "matchLabels", "nodeSelector", "options", "requests", "limits",
				"flexVolume", "csi": // these may be replaced as a whole
			default:
				sown += sow(item)
			}
		}
		value[unknownField] = map[string]any{"kept": []any{1.5, nil}}
		return sown + 1
	case []any:
		for _, item := range value {
			sown += sow(item)
		}
	}
	return sown
}

// What the Pod Security Standard restricted says to a pod, it says to the mutated one, and nothing more.
func TestNothingNewViolatesRestricted(t *testing.T) {
	evaluator, err := psapolicy.NewEvaluator(psapolicy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	violations := func(pod *corev1.Pod) map[string]string {
		found := map[string]string{}
		restricted := psaapi.LevelVersion{Level: psaapi.LevelRestricted, Version: psaapi.LatestVersion()}
		for _, result := range evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
			if !result.Allowed {
				found[result.ForbiddenReason] = result.ForbiddenDetail
			}
		}
		return found
	}
	eachFixture(t, func(t *testing.T, in review.Input) {
		out, ok := mutated(t, in)
		if !ok {
			return
		}
		before, after := podOf(t, in.Object), podOf(t, out)
		for i, v := range before.Spec.Volumes {
			if v.FlexVolume != nil { // even baseline forbids it, so it is good if it is gone
				before.Spec.Volumes[i] = after.Spec.Volumes[i]
			}
		}
		if diff := cmp.Diff(violations(before), violations(after)); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
	})
}

// Only the agent's own containers hold what reads Key Vault, and nobody's token is turned on or off.
func TestOnlyTheAgentSignsIn(t *testing.T) {
	eachFixture(t, func(t *testing.T, in review.Input) {
		out, ok := mutated(t, in)
		if !ok {
			return
		}
		before, after := podOf(t, in.Object), podOf(t, out)
		for _, c := range slices.Concat(after.Spec.InitContainers, after.Spec.Containers) {
			for _, m := range c.VolumeMounts {
				agent := c.Name == "twelvefold-fetch" || c.Name == "twelvefold-sync"
				if !agent && (m.Name == "twelvefold-token" || m.Name == "twelvefold-identity") {
					t.Errorf("container %s mounts %s", c.Name, m.Name)
				}
			}
		}
		if diff := cmp.Diff(before.Spec.AutomountServiceAccountToken, after.Spec.AutomountServiceAccountToken); diff != "" {
			t.Error(diff)
		}
	})
}

// What an env holds stands in no patch and in no message, whatever is said about it.
func TestValuesStayWhereTheyAre(t *testing.T) {
	eachFixture(t, func(t *testing.T, in review.Input) {
		const secret = "s3cr3t-7fQ2-kLmZ9"
		var object any
		if err := json.Unmarshal(in.Object.JSON, &object); err != nil {
			t.Fatal(err)
		}
		if plant(object, secret) == 0 {
			t.Fatal("the pod has no containers")
		}
		data, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		in.Object.JSON = data
		verdict, err := review.Full(in)
		if err != nil {
			t.Fatal(err)
		}
		patch, err := json.Marshal(verdict.Patch)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(patch), secret) || strings.Contains(fmt.Sprint(verdict.Findings), secret) {
			t.Errorf("the value is repeated in the patch %s or the findings %v", patch, verdict.Findings)
		}
	})
}

// plant adds secrets to the env of every container, as literals of several kinds, and counts the containers.
func plant(value any, secret string) (planted int) {
	switch value := value.(type) {
	case map[string]any:
		for key, item := range value {
			planted += plant(item, secret)
			containers, isList := item.([]any)
			if !isList || key != "containers" && key != "initContainers" {
				continue
			}
			for _, c := range containers {
				if container, ok := c.(map[string]any); ok {
					env, _ := container["env"].([]any)
					container["env"] = append(env,
						map[string]any{"name": "PLANTED_PASSWORD", "value": secret},
						map[string]any{"name": "PLANTED_URL", "value": "postgres://shop:" + secret + "@db/shop"},
						map[string]any{"name": "PLANTED", "value": "@Microsoft.KeyVault(VaultName=shop;" + secret + ")"},
						map[string]any{"name": "PLANTED_INSIDE", "value": secret + "${@Microsoft.KeyVault(SecretUri=" + secret + ")}"})
					planted++
				}
			}
		}
	case []any:
		for _, item := range value {
			planted += plant(item, secret)
		}
	}
	return planted
}

func podOf(t *testing.T, o manifest.Object) *corev1.Pod {
	t.Helper()
	template, ok, err := o.Template()
	if err != nil || !ok {
		t.Fatalf("%s %s has no pod: %v", o.Kind, o.Name, err)
	}
	edit, err := podpatch.Decode(template.JSON)
	if err != nil {
		t.Fatal(err)
	}
	return edit.Pod()
}

// tree is the pod as JSON values, in which absent and empty lists are the same.
func tree(t *testing.T, pod *corev1.Pod) (value any) {
	t.Helper()
	data, err := json.Marshal(pod)
	if err == nil {
		err = json.Unmarshal(data, &value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}
