//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	restrictedPod       = `securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}`
	restrictedContainer = `securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}`
	latestPod           = `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  ` + restrictedPod + `
  containers:
  - name: web
    image: shop.azurecr.io/web:latest
    ` + restrictedContainer
	passwordPod = `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  ` + restrictedPod + `
  containers:
  - name: web
    image: shop.azurecr.io/web:1.4.2
    env: [{name: DB_URL, value: "postgres://shop:hunter2secret@db/shop"}]
    ` + restrictedContainer
	latestDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      ` + restrictedPod + `
      containers:
      - name: web
        image: shop.azurecr.io/web:latest
        ` + restrictedContainer
)

// A refusal says all that a person needs, to those who see the message and to those who see the causes.
func TestPodsAreRefused(t *testing.T) {
	p := optedIn(t, "rules")
	tests := []struct{ name, manifest, rule, field, leak string }{
		{"latest", latestPod, "V/mutable-tag", `spec.containers[name="web"].image`, ""},
		{"password", passwordPod, "III/credential-url", `spec.containers[name="web"].env[name="DB_URL"]`, "hunter2secret"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := p.environment.apply(t.Context(), p.name, test.manifest)
			var status apierrors.APIStatus
			if !errors.As(err, &status) {
				t.Fatalf("got %v, want a refusal", err)
			}
			s := status.Status()
			if s.Code != 422 || s.Reason != metav1.StatusReasonInvalid {
				t.Errorf("status %d %s, want 422 Invalid", s.Code, s.Reason)
			}
			_, id, _ := strings.Cut(test.rule, "/")
			mustHaveAll(t, "the message", s.Message, test.rule+" "+test.field+": ", "twelvefold explain "+id)
			if s.Details == nil || s.Details.Kind != "Pod" || s.Details.Name != "web" {
				t.Fatalf("details %+v, want kind Pod, name web", s.Details)
			}
			var fields []string
			for _, cause := range s.Details.Causes {
				fields = append(fields, cause.Field)
				if cause.Field == test.field {
					mustHaveAll(t, "the cause", cause.Message, id)
				}
			}
			if !strings.Contains(strings.Join(fields, "\n"), test.field) {
				t.Errorf("causes for %q, want one for %s", fields, test.field)
			}
			if test.leak != "" && strings.Contains(err.Error()+s.String(), test.leak) {
				t.Errorf("the refusal tells the password: %v", err)
			}
		})
	}
}

// Controllers' pods show warnings to nobody, so whoever applies the controller is told.
func TestDeploymentsWarn(t *testing.T) {
	p := optedIn(t, "template")
	warnings, err := p.environment.apply(t.Context(), p.name, latestDeployment)
	if err != nil {
		t.Fatal(err)
	}
	mustHaveAll(t, "warnings", strings.Join(warnings, "\n"), "V/mutable-tag", `spec.template.spec.containers[name="web"].image`)
}

// The page of denials says what `kubectl describe replicaset` shows where the pods of a Deployment are refused.
func TestReplicaSetsTellOfDenials(t *testing.T) {
	text, err := os.ReadFile("../../docs/denials.md")
	if err != nil {
		t.Fatal(err)
	}
	_, several, _ := strings.Cut(string(text), "\n## Several at once\n")
	blocks := regexp.MustCompile("(?ms)^```(?:yaml)?\n(.*?)^```$").FindAllStringSubmatch(several, -1)
	if len(blocks) != 5 {
		t.Fatalf("the page has %d blocks about several findings", len(blocks))
	}
	p := newPlace(t, "denials", map[string]string{"twelvefold.dev/admission": "enabled", "pod-security.kubernetes.io/enforce": "privileged"})
	p.apply(blocks[0][1])
	age := regexp.MustCompile(`(FailedCreate) +\S+(?: \(x\d+ over \S+\))?  `)
	columns := func(text string) string { // are as wide as the age is long
		text = age.ReplaceAllString(text, "$1  1s  ")
		text = regexp.MustCompile(`(?m) +$`).ReplaceAllString(text, "")
		return regexp.MustCompile(`-{4,}| {2,}`).ReplaceAllString(text, "  ")
	}
	err = eventually(t.Context(), func(ctx context.Context) error {
		out, err := command(ctx, "docker", "exec", clusterName+"-control-plane", "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf",
			"-n", p.name, "describe", "replicaset")
		if err != nil {
			return err
		}
		_, events, _ := strings.Cut(out, "\nEvents:\n")
		if diff := cmp.Diff(columns(blocks[3][1]), columns("Events:\n"+events)); diff != "" {
			return fmt.Errorf("kubectl describe replicaset (-page +kubectl):\n%s", diff)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Without the label nothing is judged, and nothing is changed.
func TestUnlabelledNamespace(t *testing.T) {
	plain := newPlace(t, "plain", nil)
	for _, manifest := range []string{latestPod, latestDeployment} {
		if warnings := plain.apply(manifest); len(warnings) > 0 {
			t.Errorf("warnings %q, want none", warnings)
		}
	}
	pod, err := plain.kube.CoreV1().Pods(plain.name).Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"web"}, containers(*pod)); diff != "" {
		t.Errorf("containers (-want +got):\n%s", diff)
	}
	if len(pod.Annotations) != 0 {
		t.Errorf("annotations %v, want none", pod.Annotations)
	}
}

// A dry run answers as the real request would, and leaves nothing behind.
func TestDryRun(t *testing.T) {
	p := optedIn(t, "dry")
	_, err := p.environment.apply(t.Context(), p.name, latestPod, client.DryRunAll)
	if err == nil {
		t.Fatal("accepted, want a refusal")
	}
	mustHaveAll(t, "the refusal", err.Error(), "V/mutable-tag")
}
