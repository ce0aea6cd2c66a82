package docs_test

import (
	"bytes"
	"fmt"
	"path"
	"strings"
	"testing"

	"twelvefold.dev/internal/admission"
	"twelvefold.dev/internal/explain"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
)

// denials are files of the bad corpus that the profile baseline refuses, the commonest first.
var denials = []string{"mutable-tag-latest", "mutable-tag-none", "credential-url-env", "literal-secret-sql", "host-state-hostpath",
	"host-port-web", "host-network-web", "grace-period-prestop", "debug-in-production-dotnet", "ssh-daemon-sshd"}

const badCorpus = "../internal/review/testdata/corpus/bad"

// several is a workload with more than one thing wrong.
const several = `apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: shop}}
  template:
    metadata: {labels: {app.kubernetes.io/name: shop}}
    spec:
      containers:
      - name: api
        image: contoso.azurecr.io/shop/api:latest
        env: [{name: DB_URL, value: "postgres://shop:changeme@db/shop"}]
        volumeMounts: [{name: data, mountPath: /data}]
        resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 256Mi}}
        securityContext: {readOnlyRootFilesystem: true}
      volumes: [{name: data, hostPath: {path: /srv/shop}}]
`

// The page shows what kubectl says of a pod that is refused, and what to write instead. Tests with a real API server
// read the page and compare: TestWebhook in test/integration, TestReplicaSetsTellOfDenials in test/e2e.
func TestDenialsAreGenerated(t *testing.T) {
	var page bytes.Buffer
	page.WriteString("# The ten commonest denials\n\n" +
		"Generated from the code, and compared with what kubectl prints: what `kubectl apply` says of a pod with one thing wrong, and what to write instead. " +
		"Warnings of the same pod, which kubectl prints above, are left out. [Several at once](#several-at-once) shows all of it, and where to look when a Deployment has no pods.\n")
	for i, name := range denials {
		file := path.Join(badCorpus, name+".yaml")
		in := reviewtest.Load(t, file)[0]
		causes, _ := findings(t, asPod(t, in))
		if len(causes) == 0 {
			t.Fatalf("%s is not refused", name)
		}
		topic, known := explain.Find(causes[0].Rule)
		if !known {
			t.Fatalf("%s: no page of %s", name, causes[0].Rule)
		}
		fmt.Fprintf(&page, "\n## %d. %s\n\n```\n%s```\n\n%s The page of [`%s`](rules/%s.md) says why; [this](%s) was refused.\n",
			i+1, topic.Title, refusal("Pod", in.Object.Name, causes), topic.Fix, topic.ID, topic.ID, file)
	}
	severalAtOnce(t, &page)
	reviewtest.Golden(t, "denials.md", page.Bytes())
}

func severalAtOnce(t *testing.T, page *bytes.Buffer) {
	t.Helper()
	objects, err := manifest.Read(strings.NewReader(several), "several.yaml")
	if err != nil {
		t.Fatal(err)
	}
	workload := review.Input{Object: objects[0], Policy: policy.Default(rules.Catalogue{}), Facts: reviewtest.Facts}
	fmt.Fprintf(page, "\n## Several at once\n\nEverything is said in one go. This Deployment has three things wrong:\n\n```yaml\n%s```\n", several)
	causes, warned := findings(t, workload)
	fmt.Fprintf(page, "\n`kubectl apply` warns of it and makes it, since its pods are judged again:\n\n```\n%sdeployment.apps/shop created\n```\n", warnings(append(causes, warned...)))
	fmt.Fprintf(page, "\nWhere the policy says `templates: deny`, it is refused:\n\n```\n%s%s```\n", warnings(warned), refusal("Deployment", "shop", causes))
	pod := asPod(t, workload)
	pod.Facts.Requester, pod.Facts.Offline = "system:serviceaccount:kube-system:replicaset-controller", false
	causes, _ = findings(t, pod)
	var lines []string
	for _, f := range causes {
		lines = append(lines, f.String())
	}
	fmt.Fprintf(page, "\nElse no pod of it ever appears, and its ReplicaSet says why, also in `kubectl get events`: `kubectl describe replicaset` ends in\n\n```\nEvents:\n"+
		"  Type     Reason        Age   From                   Message\n  ----     ------        ----  ----                   -------\n"+
		"  Warning  FailedCreate  1s    replicaset-controller  Error creating: admission webhook \"validate.twelvefold.dev\" denied the request: %s\n```\n", strings.Join(lines, "\n"))
	pod.Facts.Requester = "kubernetes-admin"
	causes, warned = findings(t, pod)
	fmt.Fprintf(page, "\nThe same as a pod of its own:\n\n```\n%s%s```\n", warnings(warned), refusal("Pod", "shop", causes))
}

// asPod is the pod of a workload, with its name.
func asPod(t *testing.T, in review.Input) review.Input {
	t.Helper()
	template, _, err := in.Object.Template()
	if err != nil {
		t.Fatal(err)
	}
	in.Object = manifest.Object{APIVersion: "v1", Kind: "Pod", Name: in.Object.Name, JSON: template.JSON}
	return in
}

// findings are what denies, and what warns.
func findings(t *testing.T, in review.Input) (causes, warned []policy.Finding) {
	t.Helper()
	verdict, err := review.Full(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range verdict.Findings {
		switch f.Level {
		case policy.Deny:
			causes = append(causes, f)
		case policy.Warn:
			warned = append(warned, f)
		}
	}
	return causes, warned
}

// refusal is what kubectl prints: one cause behind the name, several below it. A blank at the end of a line is left out.
func refusal(kind, name string, causes []policy.Finding) string {
	said := fmt.Sprintf("The %s %q is invalid:", kind, name)
	if len(causes) == 1 {
		return said + fmt.Sprintf(" %s: %s\n", causes[0].Path, causes[0].Cause())
	}
	said += "\n"
	for _, f := range causes {
		said += fmt.Sprintf("* %s: %s\n", f.Path, f.Cause())
	}
	return said
}

func warnings(findings []policy.Finding) string {
	var lines []string
	for _, f := range findings {
		lines = append(lines, f.Warning())
	}
	said := ""
	for _, line := range admission.Warnings(lines) {
		said += "Warning: " + line + "\n"
	}
	return said
}
