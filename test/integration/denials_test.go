package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/yaml"

	"twelvefold.dev/internal/review/reviewtest"
)

var (
	denialSample = regexp.MustCompile("(?ms)^## \\d+\\. .*?^```\n(.*?)^```\n.*?; \\[this\\]\\((\\S+)\\) was refused\\.$")
	pageBlock    = regexp.MustCompile("(?ms)^```(?:yaml)?\n(.*?)^```$")
)

// shown compares docs/denials.md with what kubectl prints.
func shown(t *testing.T) {
	page, err := os.ReadFile("../../docs/denials.md")
	if err != nil {
		t.Fatal(err)
	}
	const production = `profile: baseline, namespaces: [{match: {names: ["test-*"]}, environment: production}]`
	ns := optedIn(t)
	inForce := func(spec string, denied bool) {
		t.Helper()
		if err := setPolicy(t, "{"+spec+"}", true); err != nil {
			t.Fatal(err)
		}
		deployment := strings.Replace(sampleDeployment, "IMAGE", "web:latest", 1)
		until(t, "the policy is in force", func() bool {
			_, _, code := kubectl(t, deployment, "apply", "-n", ns, "-f", "-", "--dry-run=server")
			return (code != 0) == denied && apierrors.IsInvalid(admin.Create(t.Context(), pod(ns, "app:latest")))
		})
	}
	apply := func(manifest string) string {
		t.Helper()
		stdout, stderr, _ := kubectl(t, manifest, "apply", "-n", ns, "-f", "-", "--dry-run=server")
		said := regexp.MustCompile(`(?m) +$`).ReplaceAllString(stderr+stdout, "") // the page has none either
		return strings.ReplaceAll(said, " (server dry run)", "")
	}
	check := func(what, page, kubectl string) {
		t.Helper()
		if diff := cmp.Diff(page, kubectl); diff != "" {
			t.Errorf("%s (-page +kubectl):\n%s", what, diff)
		}
	}

	inForce(production, false)
	samples := denialSample.FindAllStringSubmatch(string(page), -1)
	if len(samples) != 10 {
		t.Fatalf("the page has %d samples", len(samples))
	}
	for _, sample := range samples {
		file := filepath.Join("../../docs", sample[2])
		said := apply(podOf(t, reviewtest.Load(t, file)[0].Object.JSON))
		check(file, sample[1], regexp.MustCompile(`(?m)^Warning: .*\n`).ReplaceAllString(said, ""))
	}

	_, several, _ := strings.Cut(string(page), "\n## Several at once\n")
	blocks := pageBlock.FindAllStringSubmatch(several, -1)
	if len(blocks) != 5 {
		t.Fatalf("the page has %d blocks about several findings", len(blocks))
	}
	manifest := blocks[0][1]
	check("a Deployment", blocks[1][1], apply(manifest))
	check("a pod", blocks[4][1], apply(podOf(t, []byte(manifest))))
	inForce(production+", templates: deny", true)
	check("a Deployment under templates: deny", blocks[2][1], apply(manifest))
}

// podOf is the pod of a workload's template, with its name.
func podOf(t *testing.T, workload []byte) string {
	t.Helper()
	var object struct {
		Metadata struct{ Name string }
		Spec     struct {
			Template struct{ Metadata, Spec map[string]any }
		}
	}
	if err := yaml.Unmarshal(workload, &object); err != nil {
		t.Fatal(err)
	}
	metadata := object.Spec.Template.Metadata
	metadata["name"] = object.Metadata.Name
	text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": object.Spec.Template.Spec})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
