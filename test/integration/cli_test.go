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
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"twelvefold.dev/internal/cli"
	"twelvefold.dev/internal/inventory"
)

// reader is a kubeconfig of a user who has the rights of the rules and no others.
func reader(t *testing.T, rules ...rbacv1.PolicyRule) string {
	t.Helper()
	name := unique("reader")
	create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}, Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: name}}})
	loaded, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range loaded.AuthInfos {
		user.Impersonate = name
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*loaded, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// reading are the rights that a command over a cluster wants, without those of the resources named.
func reading(without ...string) []rbacv1.PolicyRule {
	var rules []rbacv1.PolicyRule
	for group, resources := range map[string][]string{
		"":                  {"namespaces", "nodes", "pods", "configmaps", "services", "persistentvolumeclaims", "limitranges", "serviceaccounts"},
		"apps":              {"deployments", "statefulsets", "daemonsets", "replicasets"},
		"batch":             {"cronjobs", "jobs"},
		"autoscaling":       {"horizontalpodautoscalers"},
		"networking.k8s.io": {"ingresses"},
	} {
		for _, resource := range resources {
			if !slices.Contains(without, resource) {
				rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: []string{"get", "list"}})
			}
		}
	}
	return rules
}

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
	create(t, deployment(ns, "api", "api:latest"), deployment(aks, "api", "api:latest"), deployment("kube-public", unique("api"), "api:latest"))
	out, _, code := twelvefold(t, "check", "--cluster", "--kubeconfig", kubeconfig, "--policy", write(t, "policy.yaml", tagPolicy))
	if code != 1 || !strings.Contains(out, ns+"/Deployment/api: deny") || strings.Contains(out, aks+"/") || strings.Contains(out, "kube-public/") {
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

// TestRightsOfReaders says what may not be read, and what is not judged because of it.
func TestRightsOfReaders(t *testing.T) {
	ns, other := namespace(t, nil), namespace(t, nil)
	workloads(t, ns)
	create(t, deployment(other, "api", "api:latest"))
	file := write(t, "policy.yaml", tagPolicy)
	check := func(kubeconfig string, more ...string) (string, string, int) {
		return twelvefold(t, append([]string{"check", "--cluster", "--kubeconfig", kubeconfig, "--policy", file}, more...)...)
	}

	out, messages, code := check(reader(t, reading()...), "-n", ns)
	if messages != "" || code != 1 || !strings.Contains(out, "single-replica") {
		t.Errorf("with all rights: status %d, %s:\n%s", code, messages, out)
	}

	out, messages, code = check(reader(t, reading("horizontalpodautoscalers", "nodes", "configmaps")...), "-n", ns)
	if code != 1 || strings.Contains(out, "single-replica") || !strings.Contains(out, "2 denied, 0 warned") {
		t.Errorf("without HPAs: status %d:\n%s", code, out)
	}
	for _, command := range []string{"check", "replay"} {
		out, _, _ := twelvefold(t, command, "--cluster", "--kubeconfig", reader(t, reading("services")...), "--policy", file, "-n", ns, "-o", "json")
		var report struct{ Gaps []string }
		if err := json.Unmarshal([]byte(out), &report); err != nil || !slices.Equal(report.Gaps, []string{"may not list services in " + ns + ": what needs them is not judged"}) {
			t.Errorf("%s: %v, gaps %q", command, err, report.Gaps)
		}
	}
	page, _, _ := twelvefold(t, "report", "--cluster", "--kubeconfig", reader(t, reading("services", "horizontalpodautoscalers")...), "--policy", file, "-n", ns)
	if gap := "may not list services, horizontalpodautoscalers.autoscaling in " + ns + ": what needs them is not judged"; !strings.Contains(page, gap) {
		t.Errorf("the page does not say %q:\n%s", gap, page)
	}
	for _, want := range []string{"warning: may not list horizontalpodautoscalers.autoscaling, configmaps in " + ns + ": what needs them is not judged\n",
		"warning: may not list nodes: kubelets are taken for as new as the API server (1.37)\n"} {
		if !strings.Contains(messages, want) {
			t.Errorf("no %q in:\n%s", want, messages)
		}
	}
	_, messages, _ = twelvefold(t, "check", "--cluster", "--kubeconfig", reader(t, reading("configmaps")...), "-n", ns)
	if !strings.Contains(messages, "warning: may not list configmaps: the cluster's policy is unknown, the built-in one is taken; --policy names another\n") {
		t.Errorf("without ConfigMaps:\n%s", messages)
	}

	_, messages, code = check(reader(t, reading("namespaces")...), "-n", ns)
	if code != 1 || !strings.Contains(messages, "warning: may not get namespaces in "+ns+": ") {
		t.Errorf("without namespaces: status %d, %s", code, messages)
	}
	_, messages, code = check(reader(t, reading("namespaces")...))
	if code != 2 || !strings.Contains(messages, "namespaces may not be listed (kubectl auth can-i list namespaces); name those that you may read: -n <namespace>,…") {
		t.Errorf("all, without namespaces: status %d, %s", code, messages)
	}

	for _, args := range [][]string{{"-n", ns}, nil} {
		out, messages, code := check(reader(t, reading("jobs")...), args...)
		if code != 2 || out != "" || !strings.Contains(messages, "jobs.batch may not be listed in ") || !strings.Contains(messages, "; ask for the verbs get and list of deployments.apps, ") {
			t.Errorf("without Jobs, %q: status %d, %s%s", args, code, messages, out)
		}
	}

	// In one of the namespaces only.
	file2 := reader(t, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"namespaces", "nodes"}, Verbs: []string{"get", "list"}})
	loaded, err := clientcmd.LoadFromFile(file2)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range loaded.AuthInfos {
		create(t, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: other, Name: "view"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "reader"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user.Impersonate}}})
	}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "reader"}, Rules: reading()}
	create(t, role)
	deleteAfter(t, role)
	until(t, "the API server knows the rights", func() bool {
		out, messages, code = check(file2)
		return code == 1
	})
	if !strings.Contains(out, other+"/Deployment/api: deny") || strings.Contains(out, ns+"/") || !strings.Contains(messages, "warning: may not list deployments.apps in ") || !strings.Contains(messages, ": nothing is judged there\n") {
		t.Errorf("in one namespace: status %d, %s:\n%s", code, messages, out)
	}
}

// TestWithoutRights says what to ask for.
func TestWithoutRights(t *testing.T) {
	ns := namespace(t, nil)
	for _, args := range [][]string{{"check", "-n", ns}, {"replay", "-n", ns}, {"report", "-n", ns}, {"parity", ns, namespace(t, nil)}} {
		out, messages, code := twelvefold(t, append(args, "--cluster", "--kubeconfig", reader(t))...)
		if code != 2 || out != "" || !strings.Contains(messages, "deployments.apps may not be listed in "+ns+" (kubectl auth can-i list deployments.apps -n "+ns+")") {
			t.Errorf("%q: status %d, %s%s", args, code, messages, out)
		}
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

// TestDocumentedRights are those that suffice, and no Secret is among them.
func TestDocumentedRights(t *testing.T) {
	text, err := os.ReadFile("../../docs/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "```yaml\n")
	block, _, _ = strings.Cut(block, "```")
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict([]byte(block), &role); err != nil {
		t.Fatal(err)
	}
	granted := map[string]bool{}
	for _, rule := range role.Rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				granted[schema.GroupResource{Group: group, Resource: resource}.String()] = true
			}
		}
	}
	for _, kind := range inventory.All() {
		if !granted[kind.Name()] {
			t.Errorf("the docs' role lacks %s", kind.Name())
		}
	}
	if granted["secrets"] || granted["*"] {
		t.Error("the docs' role reads Secrets")
	}
	ns := namespace(t, nil)
	workloads(t, ns)
	_, messages, code := twelvefold(t, "check", "--cluster", "--kubeconfig", reader(t, role.Rules...), "-n", ns, "--policy", write(t, "policy.yaml", tagPolicy))
	if code != 1 || messages != "" {
		t.Errorf("status %d, %s", code, messages)
	}
}
