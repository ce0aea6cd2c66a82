// Package reviewtest reads the fixtures of rules and mutators.
//
// A fixture is a YAML file of objects to review. A Namespace or ServiceAccount in it is the cluster's knowledge, a
// Policy is the policy in force, and Vaults (see vaults.go) are what is known of Key Vault. A Cluster says what else the webhook knows; images that it doesn't name are not found:
//
//	apiVersion: fixtures.twelvefold.dev/v1
//	kind: Cluster
//	kubernetes: "1.34"   # of the API server and the nodes
//	images:
//	  contoso.azurecr.io/shop/api:1.4.2: {entrypoint: [/app], cmd: [serve], labels: {org.opencontainers.image.source: …}}
package reviewtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Facts are those of all fixtures.
var Facts = policy.Facts{
	Now:        time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC),
	Namespace:  "shop",
	Kubernetes: policy.Kubernetes{APIServer: 37, OldestKubelet: 37},
	AgentImage: "twelvefold-agent:v0",
}

// fixturesVersion is the apiVersion of documents that hold facts.
const fixturesVersion = "fixtures.twelvefold.dev/v1"

// Load reads the inputs of a fixture.
func Load(t testing.TB, file string) []review.Input {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := manifest.Read(bytes.NewReader(data), filepath.Base(file))
	if err != nil {
		t.Fatal(err)
	}
	effective, facts := policy.Default(rules.Catalogue{}), Facts
	var reviewed []manifest.Object
	for _, o := range objects {
		if o.APIVersion == fixturesVersion && o.Kind == vaultsKind {
			facts.Secret = secrets(t, o)
			continue
		}
		if o.APIVersion == policy.APIVersion {
			if effective, err = policy.Parse(o.JSON, rules.Catalogue{}); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			continue
		}
		if o.APIVersion == fixturesVersion {
			secret := facts.Secret
			if facts, err = clusterFacts(o.JSON); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			facts.Secret = secret
			continue
		}
		reviewed = append(reviewed, o)
	}
	return review.Offline(reviewed, effective, facts)
}

// AsWritten are inputs whose pods are judged as their teams wrote them: where the default policy holds, it mends nothing.
func AsWritten(t testing.TB, inputs []review.Input) []review.Input {
	t.Helper()
	var settings strings.Builder
	for _, r := range rules.All() {
		if r.RuleInfo.Repair == policy.ByDefault {
			settings.WriteString("    " + r.ID + ": {repair: false}\n")
		}
	}
	asWritten, err := policy.Parse([]byte("apiVersion: "+policy.APIVersion+"\nkind: Policy\nspec:\n  profile: baseline\n  rules:\n"+settings.String()), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range inputs {
		if inputs[i].Policy.Hash() == policy.Default(rules.Catalogue{}).Hash() {
			inputs[i].Policy = asWritten
		}
	}
	return inputs
}

// clusterFacts are [Facts] with what a Cluster says.
func clusterFacts(data []byte) (policy.Facts, error) {
	var cluster struct {
		APIVersion, Kind, Kubernetes string
		Images                       map[string]struct {
			Entrypoint, Cmd []string
			Labels          map[string]string
		}
	}
	facts := Facts
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&cluster); err != nil {
		return facts, err
	}
	if cluster.Kubernetes != "" {
		minor, err := strconv.Atoi(strings.TrimPrefix(cluster.Kubernetes, "1."))
		if err != nil {
			return facts, err
		}
		facts.Kubernetes = policy.Kubernetes{APIServer: minor, OldestKubelet: minor}
	}
	facts.Entrypoint = func(image string) (entrypoint, cmd []string, err error) {
		known, ok := cluster.Images[image]
		if !ok {
			return nil, nil, errors.New("the registry has no such image")
		}
		return known.Entrypoint, known.Cmd, nil
	}
	facts.Labels = func(image string) (map[string]string, error) {
		if known, ok := cluster.Images[image]; ok {
			return known.Labels, nil
		}
		return nil, errors.New("the registry has no such image")
	}
	return facts, nil
}

// Files are the files that match, of which there must be one.
func Files(t testing.TB, glob string) []string {
	t.Helper()
	files, err := filepath.Glob(glob)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no such fixtures: %v", glob, err)
	}
	return files
}

// Golden compares with a golden file, or writes it with -update. An empty result has no file.
func Golden(t testing.TB, file string, got []byte) {
	t.Helper()
	if *update {
		var err error
		if len(got) == 0 {
			err = os.RemoveAll(file)
		} else {
			err = os.WriteFile(file, got, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil && len(got) > 0 {
		t.Fatalf("%v: run the test with -update", err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s is stale: run the test with -update and look at the difference. Now:\n%s", file, got)
	}
}

// Apply is the object with the verdict's patch applied to its JSON, as the API server does it.
func Apply(t testing.TB, object manifest.Object, v review.Verdict) manifest.Object {
	t.Helper()
	operations, err := json.Marshal(v.Patch)
	if err != nil {
		t.Fatal(err)
	}
	if object.JSON, err = podpatch.Apply(operations, object.JSON); err != nil {
		t.Fatalf("%s %s: %v\n%s", object.Kind, object.Name, err, operations)
	}
	return object
}
