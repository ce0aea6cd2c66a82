package docs_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"twelvefold.dev/internal/explain"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
)

// denials are files of the bad corpus that the profile baseline refuses, the commonest first.
var denials = []string{"mutable-tag-latest", "mutable-tag-none", "credential-url-env", "literal-secret-sql", "host-state-hostpath",
	"host-port-web", "host-network-web", "grace-period-prestop", "debug-in-production-dotnet", "ssh-daemon-sshd"}

// The page shows what kubectl says of a pod that is refused, and what to write instead.
func TestDenialsAreGenerated(t *testing.T) {
	var page bytes.Buffer
	page.WriteString("# The ten commonest denials\n\nGenerated from the code: what `kubectl apply` says of a pod with one thing wrong, and what to write instead. " +
		"Of a pod that a Deployment makes, `kubectl describe replicaset` shows the same text among the events; the Deployment itself warns when it is applied.\n")
	for i, name := range denials {
		in := reviewtest.Load(t, filepath.Join("..", "internal", "review", "testdata", "corpus", "bad", name+".yaml"))[0]
		said, first := denial(t, in)
		topic, known := explain.Find(first)
		if !known {
			t.Fatalf("%s: no page of %s", name, first)
		}
		fmt.Fprintf(&page, "\n## %d. %s\n\n```\n%s```\n\n%s The page of [`%s`](rules/%s.md) says why.\n", i+1, topic.Title, said, topic.Fix, topic.ID, topic.ID)
	}
	reviewtest.Golden(t, "denials.md", page.Bytes())
}

// denial is what kubectl prints of a pod of the workload's template, and the first rule that denies it.
func denial(t *testing.T, in review.Input) (said, first string) {
	t.Helper()
	template, _, err := in.Object.Template()
	if err != nil {
		t.Fatal(err)
	}
	name := in.Object.Name
	in.Object = manifest.Object{APIVersion: "v1", Kind: "Pod", JSON: template.JSON}
	verdict, err := review.Full(in)
	if err != nil || !verdict.Denied() {
		t.Fatalf("%s is not refused: %v", name, err)
	}
	var causes []policy.Finding
	for _, f := range verdict.Findings {
		if f.Level == policy.Deny {
			causes = append(causes, f)
		}
	}
	said = fmt.Sprintf("The Pod %q is invalid: ", name)
	if len(causes) == 1 { // kubectl prints one cause behind the name, and several below it
		return said + fmt.Sprintf("%s: %s\n", causes[0].Path, causes[0].Cause()), causes[0].Rule
	}
	said = said[:len(said)-1] + "\n"
	for _, f := range causes {
		said += fmt.Sprintf("* %s: %s\n", f.Path, f.Cause())
	}
	return said, causes[0].Rule
}
