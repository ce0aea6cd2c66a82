package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"twelvefold.dev/internal/inventory"
)

// reader is a kubeconfig of a user who has the rights of the rules and no others.
func reader(t *testing.T, rules ...rbacv1.PolicyRule) string {
	t.Helper()
	name := unique("reader")
	create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}, Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: name}}})
	if len(rules) > 0 { // the API server's authorizer hears of them a moment later
		may := authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: name, ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: rules[0].Verbs[0], Group: rules[0].APIGroups[0], Resource: rules[0].Resources[0]}}}
		until(t, "the API server knows the rights", func() bool {
			asked := may.DeepCopy()
			create(t, asked)
			return asked.Status.Allowed
		})
	}
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
