package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/cli"
)

// twelvefold runs the command line.
func twelvefold(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, messages bytes.Buffer
	code = cli.Main(args, strings.NewReader(""), &out, &messages)
	return out.String(), messages.String(), code
}

func template(labels map[string]string, image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyAlways,
		Containers: []corev1.Container{{Name: "app", Image: image, Ports: []corev1.ContainerPort{{ContainerPort: 8080}}}}}}
}

func deployment(ns, name, image string) *appsv1.Deployment {
	labels := map[string]string{"app.kubernetes.io/name": name}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template(labels, image)}}
}

// workloads makes five, two of which have a tag that moves, and what belongs to them.
func workloads(t *testing.T, ns string) {
	t.Helper()
	labels := map[string]string{"app.kubernetes.io/name": "db"}
	night := template(nil, "shop/night:latest")
	night.Spec.RestartPolicy = corev1.RestartPolicyNever
	api := deployment(ns, "api", "shop/api:latest")
	create(t, api, deployment(ns, "web", "shop/web:1.0"),
		&appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "db"}, Spec: appsv1.StatefulSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template(labels, "postgres:17.2")}},
		&batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "night"}, Spec: batchv1.CronJobSpec{Schedule: "0 3 * * *",
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: night}}}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "api"}, Spec: corev1.ServiceSpec{Selector: api.Spec.Template.Labels, Ports: []corev1.ServicePort{{Port: 80}}}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "web"}, Spec: corev1.ServiceSpec{Selector: map[string]string{"app.kubernetes.io/name": "web"}, Ports: []corev1.ServicePort{{Port: 80}}}},
		&autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "api"}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			MaxReplicas: 3, ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "api"}}})
	yes := true
	for name, owner := range map[string]*metav1.OwnerReference{"debug": nil, "api-x": {APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "api-5d8", UID: api.UID, Controller: &yes}} {
		p := pod(ns, "busybox:1.36")
		p.GenerateName, p.Name, p.Spec.ServiceAccountName = "", name, ""
		if owner != nil {
			p.OwnerReferences = []metav1.OwnerReference{*owner}
		}
		create(t, p)
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const tagPolicy = "apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec: {profile: off, rules: {mutable-tag: {level: deny}, single-replica: {level: warn}}}\n"

// TestReplayOfCluster tells what a policy would deny of what runs.
func TestReplayOfCluster(t *testing.T) {
	ns := namespace(t, nil)
	workloads(t, ns)
	file := write(t, "new.yaml", tagPolicy)
	out, messages, code := twelvefold(t, "replay", "--cluster", "--kubeconfig", kubeconfig, "-n", ns, "--policy", file)
	want := file + ` would deny 2 of 5 workloads, and warn of 1

V/mutable-tag denies 2:
  ` + ns + `/CronJob/night
  ` + ns + `/Deployment/api
`
	if diff := cmp.Diff(want, out); diff != "" || messages != "" || code != 0 {
		t.Errorf("status %d, %s (-want +got):\n%s", code, messages, diff)
	}

	out, _, code = twelvefold(t, "replay", "--cluster", "--kubeconfig", kubeconfig, "-n", ns, "--policy", file, "--against", write(t, "old.yaml", strings.Replace(tagPolicy, "level: deny", "level: warn", 1)), "-o", "json")
	var report struct {
		Workloads, Denied int
		Against           struct{ NewlyDenied []any }
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Workloads != 5 || report.Denied != 2 || len(report.Against.NewlyDenied) != 2 || code != 0 {
		t.Errorf("status %d, %v: %s", code, err, out)
	}
}

// TestCheckOfCluster judges with what is beside the workloads, and says where they are.
func TestCheckOfCluster(t *testing.T) {
	ns := namespace(t, nil)
	workloads(t, ns)
	file := write(t, "policy.yaml", tagPolicy)
	out, messages, code := twelvefold(t, "check", "--cluster", "--kubeconfig", kubeconfig, "-n", ns, "--policy", file)
	for _, want := range []string{
		ns + `/Deployment/api: deny V/mutable-tag spec.template.spec.containers[name="app"].image: the tag of "shop/api:latest" moves`,
		ns + `/CronJob/night: deny V/mutable-tag spec.jobTemplate.`,
		ns + `/Deployment/web: warn VIII/single-replica `, // api has a HorizontalPodAutoscaler
		"5 objects: 2 denied, 1 warned, 0 audited\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if code != 1 || messages != "" || strings.Contains(out, "busybox") {
		t.Errorf("status %d, %s:\n%s", code, messages, out)
	}

	out, _, _ = twelvefold(t, "check", "--cluster", "--kubeconfig", kubeconfig, "-n", ns, "--policy", file, "-o", "json")
	var report struct {
		Findings []struct {
			Rule, File string
			Line       int
			Object     struct{ APIVersion, Kind, Namespace, Name string }
		}
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || len(report.Findings) != 3 {
		t.Fatalf("%v: %s", err, out)
	}
	if f := report.Findings[0]; f.File != "" || f.Line != 0 || f.Object.APIVersion != "apps/v1" || f.Object.Kind != "Deployment" || f.Object.Namespace != ns || f.Object.Name != "api" {
		t.Errorf("%+v", f)
	}
	for format, wants := range map[string][]string{
		"sarif": {`"uri": "cluster/` + ns + `/Deployment/api.yaml"`, `"startLine": 1`, `"primaryLocationLineHash": "`},
		"junit": {`<testsuite name="` + ns + `" tests="5" failures="2"`, `<testcase name="Deployment/api" classname="` + ns + `">`},
	} {
		out, _, _ := twelvefold(t, "check", "--cluster", "--kubeconfig", kubeconfig, "-n", ns, "--policy", file, "-o", format)
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %s in:\n%s", format, want, out)
			}
		}
	}
}

// TestClusterAndDumpAgree gives the same verdict on the same workloads, whichever way they come.
func TestClusterAndDumpAgree(t *testing.T) {
	ns := namespace(t, map[string]string{"tier": "prod"})
	workloads(t, ns)
	create(t, &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "defaults"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
		Type: corev1.LimitTypeContainer, Default: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}}}}})
	policy := write(t, "policy.yaml", "apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec: {namespaces: [{match: {labels: {tier: prod}}, environment: production, profile: strict}]}\n")
	dump, messages, code := kubectl(t, "", "get", "deploy,sts,ds,cronjob,job,pod,svc,ing,hpa,pvc,limits,sa", "-n", ns, "-o", "yaml")
	if code != 0 {
		t.Fatal(messages)
	}
	itself, _, _ := kubectl(t, "", "get", "ns", ns, "-o", "yaml")
	findings := func(args ...string) (found []string) {
		out, messages, code := twelvefold(t, append(args, "--policy", policy, "-o", "json")...)
		var report struct {
			Findings []struct {
				Rule, Level, Path, Message, Fix string
				Object                          struct{ Kind, Name string }
			}
		}
		if err := json.Unmarshal([]byte(out), &report); err != nil || code != 1 {
			t.Fatalf("%q: status %d, %s, %v", args, code, messages, err)
		}
		for _, f := range report.Findings {
			if f.Object.Name != "api-x" { // a Deployment's pod, which only a dump has beside it
				found = append(found, fmt.Sprint(f))
			}
		}
		slices.Sort(found)
		return found
	}
	live := findings("check", "--cluster", "--kubeconfig", kubeconfig, "-n", ns)
	dumped := findings("check", "-f", write(t, "dump.yaml", dump+"---\n"+itself))
	if diff := cmp.Diff(dumped, live); diff != "" || len(live) < 20 {
		t.Errorf("%d findings (-dump +cluster):\n%s", len(live), diff)
	}
}

// TestCheckOfAllNamespaces leaves alone what the webhook leaves alone.
func TestCheckOfAllNamespaces(t *testing.T) {
	ns, aks := namespace(t, nil), namespace(t, map[string]string{"kubernetes.azure.com/managedby": "aks"})
	gone := namespace(t, nil)
	create(t, deployment(ns, "api", "api:latest"), deployment(aks, "api", "api:latest"), deployment("kube-public", unique("api"), "api:latest"), deployment(gone, "api", "api:latest"))
	if err := admin.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: gone}}); err != nil { // nobody finishes it here
		t.Fatal(err)
	}
	out, _, code := twelvefold(t, "check", "--cluster", "--kubeconfig", kubeconfig, "--policy", write(t, "policy.yaml", tagPolicy))
	if code != 1 || !strings.Contains(out, ns+"/Deployment/api: deny") || strings.Contains(out, aks+"/") || strings.Contains(out, gone+"/") || strings.Contains(out, "kube-public/") {
		t.Errorf("status %d:\n%s", code, out)
	}
	out, _, code = twelvefold(t, "check", "--cluster", "--kubeconfig", kubeconfig, "--policy", write(t, "policy.yaml", tagPolicy), "-n", aks)
	if code != 1 || !strings.Contains(out, aks+"/Deployment/api: deny") {
		t.Errorf("named: status %d:\n%s", code, out)
	}
}

// TestOperatorsWorkloads has what an operator made judged, since nobody else knows its template; but no history.
func TestOperatorsWorkloads(t *testing.T) {
	ns := namespace(t, nil)
	rollout := func(name string, replicas int32) *appsv1.ReplicaSet {
		labels := map[string]string{"app": name}
		return &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: "canary", UID: "canary", Controller: new(true)}}},
			Spec: appsv1.ReplicaSetSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template(labels, "canary:latest")}}
	}
	create(t, rollout("canary-2", 2), rollout("canary-1", 0))
	file := write(t, "policy.yaml", tagPolicy)
	out, messages, _ := twelvefold(t, "check", "--cluster", "--kubeconfig", kubeconfig, "-n", ns, "--policy", file)
	if !strings.Contains(out, ns+"/ReplicaSet/canary-2: deny V/mutable-tag ") || !strings.Contains(out, "1 objects: 1 denied") || messages != "" {
		t.Errorf("%s:\n%s", messages, out)
	}
	if out, _, _ := twelvefold(t, "replay", "--cluster", "--kubeconfig", kubeconfig, "-n", ns, "--policy", file); !strings.Contains(out, "would deny 1 of 1 workloads") || !strings.Contains(out, "/Rollout/canary\n") {
		t.Errorf("replay:\n%s", out)
	}
}

// TestReportOfCluster writes the page of a namespace.
func TestReportOfCluster(t *testing.T) {
	ns := namespace(t, nil)
	workloads(t, ns)
	out, messages, code := twelvefold(t, "report", "--cluster", "--kubeconfig", kubeconfig, "-n", ns, "-o", "html")
	if code != 0 || !strings.HasPrefix(out, "<!DOCTYPE html>") || !strings.Contains(out, "5 workloads") || !strings.Contains(out, "V/mutable-tag") {
		t.Errorf("status %d, %s:\n%.2000s", code, messages, out)
	}
}

// TestParityOfCluster compares two namespaces.
func TestParityOfCluster(t *testing.T) {
	a, b := namespace(t, nil), namespace(t, nil)
	create(t, deployment(a, "api", "api:1.0"), deployment(b, "api", "api:1.1"), deployment(b, "mock", "mock:1"))
	out, messages, code := twelvefold(t, "parity", a, b, "--cluster", "--kubeconfig", kubeconfig)
	want := fmt.Sprintf("Deployment/api:\n  app: tag: 1.0 in %s, 1.1 in %s\nDeployment/mock: only in %[2]s\n1 workloads in both, 1 of them differ; 1 only in one\n", a, b)
	if diff := cmp.Diff(want, out); diff != "" || messages != "" || code != 1 {
		t.Errorf("status %d, %s (-want +got):\n%s", code, messages, diff)
	}
	if _, messages, code := twelvefold(t, "parity", a, "absent", "--cluster", "--kubeconfig", kubeconfig); code != 2 || !strings.Contains(messages, `the cluster has no namespace "absent"`) {
		t.Errorf("status %d, %s", code, messages)
	}
}

// TestPolicyOfCluster is the policy where the command line names none.
func TestPolicyOfCluster(t *testing.T) {
	ns, home := namespace(t, nil), namespace(t, nil)
	create(t, deployment(ns, "api", "api:latest"), deployment(home, "own", "own:latest"))
	check := func() (string, string, int) { return twelvefold(t, "check", "--cluster", "--kubeconfig", kubeconfig) }
	if _, messages, code := check(); code != 1 || !strings.Contains(messages, "policy: the built-in one, since the cluster has none\n") {
		t.Errorf("without a policy: status %d, %s", code, messages)
	}
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: home, Name: "twelvefold-policy", Labels: map[string]string{"twelvefold.dev/policy": "true"}},
		Data: map[string]string{"policy.yaml": strings.Replace(tagPolicy, "level: deny", "level: warn", 1)}}
	create(t, configMap)
	deleteAfter(t, configMap)
	out, messages, code := check()
	if code != 0 || !strings.Contains(messages, "policy: ConfigMap "+home+"/twelvefold-policy (") || !strings.Contains(out, ns+"/Deployment/api: warn V/mutable-tag") {
		t.Errorf("status %d, %s:\n%s", code, messages, out)
	}
	if strings.Contains(out, home+"/") {
		t.Errorf("Twelvefold's own namespace is judged:\n%s", out)
	}
	if out, _, _ := twelvefold(t, "replay", "--cluster", "--kubeconfig", kubeconfig, "-n", ns); !strings.HasPrefix(out, home+"/twelvefold-policy would deny 0 of 1 workloads, and warn of 1\n") {
		t.Errorf("replay says:\n%s", out)
	}
	configMap.Data["policy.yaml"] = "nonsense"
	if err := admin.Update(t.Context(), configMap); err != nil {
		t.Fatal(err)
	}
	if _, messages, code := check(); code != 2 || !strings.Contains(messages, "the cluster's policy, ConfigMap "+home+"/twelvefold-policy, has no effect; mend it, or name one with --policy:\npolicy: ") {
		t.Errorf("a broken policy: status %d, %s", code, messages)
	}
}

// TestDocumentedCommands runs what README and docs say of clusters, as it stands there.
func TestDocumentedCommands(t *testing.T) {
	var commands [][]string
	for _, file := range []string{"../../README.md", "../../docs/cluster.md", "../../docs/report.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(line, "#")
			line, _, _ = strings.Cut(line, ">")
			if words := strings.Fields(line); strings.HasPrefix(line, "    twelvefold ") && slices.Contains(words, "--cluster") {
				commands = append(commands, words[1:])
			}
		}
	}
	if len(commands) < 10 {
		t.Fatalf("%d commands", len(commands))
	}
	for _, name := range []string{"shop", "search", "staging", "production"} {
		for _, o := range []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, deployment(name, "api", "api:1.0")} {
			if err := client.IgnoreAlreadyExists(admin.Create(t.Context(), o)); err != nil { // their names are the docs'
				t.Fatal(err)
			}
		}
	}
	loaded, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	loaded.Contexts["production"] = loaded.Contexts[loaded.CurrentContext]
	t.Chdir(t.TempDir())
	if err := clientcmd.WriteToFile(*loaded, "kubeconfig"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", "kubeconfig")
	for _, name := range []string{"new.yaml", "current.yaml", "policy.yaml"} {
		if err := os.WriteFile(name, []byte(tagPolicy), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range commands {
		if out, messages, code := twelvefold(t, args...); code == 2 || out == "" {
			t.Errorf("twelvefold %s: status %d, %s", strings.Join(args, " "), code, messages)
		}
	}
}
