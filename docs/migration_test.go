package docs_test

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
)

var migrationStep = regexp.MustCompile("(?s)<!-- ([a-z0-9-]+): (now|then) -->\n```yaml\n(.*?)```")

// What people have today brings the same secrets to the same places as what the guide tells them to write in the end.
func TestMigrations(t *testing.T) {
	text, err := os.ReadFile("migration.md")
	if err != nil {
		t.Fatal(err)
	}
	steps := map[string]map[string]string{}
	for _, m := range migrationStep.FindAllSubmatch(text, -1) {
		if steps[string(m[1])] == nil {
			steps[string(m[1])] = map[string]string{}
		}
		steps[string(m[1])][string(m[2])] = string(m[3])
	}
	for _, tool := range []string{"akv2k8s", "flexvolume", "csi", "bank-vaults"} {
		t.Run(tool, func(t *testing.T) {
			now, then := delivered(t, steps[tool]["now"]), delivered(t, steps[tool]["then"])
			if len(now) == 0 {
				t.Fatal("nothing is delivered")
			}
			if diff := cmp.Diff(now, then); diff != "" {
				t.Errorf("the two differ (-now +then):\n%s", diff)
			}
		})
	}
}

// delivered tells which object of which vault each variable and file of the containers comes from.
func delivered(t *testing.T, text string) (all []string) {
	t.Helper()
	for _, in := range load(t, "migration.md", []byte(text)) {
		if _, hasPod, _ := in.Object.Template(); !hasPod {
			continue
		}
		in.ServiceAccount = identified
		verdict, err := review.Mutate(in)
		if err != nil || verdict.Denied() {
			t.Fatalf("%s is not admitted: %v %v", in.Object.Name, err, verdict.Findings)
		}
		pod := podOf(t, reviewtest.Apply(t, in.Object, verdict))
		plan := planOf(t, pod)
		for _, c := range pod.Spec.Containers {
			all = append(all, deliveredTo(c, plan)...)
		}
	}
	slices.Sort(all)
	return all
}

func deliveredTo(c corev1.Container, plan keyvault.Plan) (all []string) {
	note := func(place string, r keyvault.Reference) {
		r.Mode = 0 // readers can read it either way
		all = append(all, fmt.Sprintf("%s %s: %+v", c.Name, place, r))
	}
	for _, e := range c.Env {
		if e.ValueFrom == nil || e.ValueFrom.FileKeyRef == nil {
			continue
		}
		for _, item := range plan.Env {
			if item.Key == e.ValueFrom.FileKeyRef.Key {
				note("env "+e.Name, item.Reference)
			}
		}
	}
	for _, mount := range c.VolumeMounts {
		for _, item := range plan.Files {
			if item.Volume == mount.Name || item.Volume == "" && mount.Name == "twelvefold-files" {
				note("file "+mount.MountPath+"/"+item.Path, item.Reference)
			}
		}
	}
	return all
}

func podOf(t *testing.T, object manifest.Object) (pod corev1.Pod) {
	t.Helper()
	template, _, err := object.Template()
	if err == nil {
		err = yaml.Unmarshal(template.JSON, &pod)
	}
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

func planOf(t *testing.T, pod corev1.Pod) keyvault.Plan {
	t.Helper()
	for _, c := range pod.Spec.InitContainers {
		for _, e := range c.Env {
			if e.Name == keyvault.PlanEnv {
				plan, err := keyvault.ParsePlan(e.Value)
				if err != nil {
					t.Fatal(err)
				}
				return plan
			}
		}
	}
	t.Fatal("the pod fetches nothing")
	return keyvault.Plan{}
}

// The guide names every tool that a section is about.
func TestMigrationSections(t *testing.T) {
	text, err := os.ReadFile("migration.md")
	if err != nil {
		t.Fatal(err)
	}
	if sections, steps := bytes.Count(text, []byte("\n## From ")), len(migrationStep.FindAll(text, -1)); steps != 2*sections {
		t.Errorf("%d sections have %d examples; want one of now and one of then in each", sections, steps)
	}
}
