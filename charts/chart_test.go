package charts

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	podsecurityapi "k8s.io/pod-security-admission/api"
	podsecurity "k8s.io/pod-security-admission/policy"

	"twelvefold.dev/internal/inventory"
)

var update = flag.Bool("update", false, "rewrite testdata/default.yaml from the chart")

func TestDefaultRendering(t *testing.T) {
	got, err := template(t)
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/default.yaml"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the chart renders something else than %s (go test ./charts -update accepts it):\n%s", golden, diff)
	}
}

func TestLint(t *testing.T) {
	if out, err := runHelm(t, "lint", "--strict", "twelvefold"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestPodsKeepToRestrictedPodSecurity(t *testing.T) {
	evaluator, err := podsecurity.NewEvaluator(podsecurity.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := podsecurityapi.LevelVersion{Level: podsecurityapi.LevelRestricted, Version: podsecurityapi.LatestVersion()}
	for _, mode := range modes {
		pod := get[*appsv1.Deployment](t, render(t, mode...), "Deployment/twelvefold-webhook").Spec.Template
		for _, result := range evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec) {
			if !result.Allowed {
				t.Errorf("%v: %s: %s", mode, result.ForbiddenReason, result.ForbiddenDetail)
			}
		}
	}
}

func TestAvailability(t *testing.T) {
	all := render(t)
	deployment := get[*appsv1.Deployment](t, all, "Deployment/twelvefold-webhook")
	pod := deployment.Spec.Template.Spec
	container := pod.Containers[0]

	if got := *deployment.Spec.Replicas; got != 3 {
		t.Errorf("%d replicas, want 3", got)
	}
	if got := deployment.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue(); got != 0 {
		t.Errorf("a rolling restart takes %d replicas away, want 0", got)
	}
	budget := get[*policyv1.PodDisruptionBudget](t, all, "PodDisruptionBudget/twelvefold-webhook")
	if got := budget.Spec.MinAvailable.IntValue(); got != 2 {
		t.Errorf("the disruption budget keeps %d pods, want 2", got)
	}
	var spread []string
	for _, c := range pod.TopologySpreadConstraints {
		spread = append(spread, c.TopologyKey+" "+string(c.WhenUnsatisfiable))
		mustSelect(t, c.LabelSelector, deployment.Spec.Template.Labels)
	}
	if diff := cmp.Diff([]string{"kubernetes.io/hostname ScheduleAnyway", "topology.kubernetes.io/zone ScheduleAnyway"}, spread); diff != "" {
		t.Error(diff)
	}
	mustSelect(t, budget.Spec.Selector, deployment.Spec.Template.Labels)
	mustSelect(t, deployment.Spec.Selector, deployment.Spec.Template.Labels)
	if pod.PriorityClassName != "system-cluster-critical" {
		t.Errorf("priority class %q", pod.PriorityClassName)
	}
	for name, list := range map[string]corev1.ResourceList{"requests": container.Resources.Requests, "limits": container.Resources.Limits} {
		if list.Cpu().IsZero() || list.Memory().IsZero() {
			t.Errorf("%s lack cpu or memory: %v", name, list)
		}
	}
	probes := map[string]*corev1.Probe{"/healthz": container.LivenessProbe, "/readyz": container.ReadinessProbe}
	for path, probe := range probes {
		if probe.HTTPGet.Path != path || probe.HTTPGet.Port.String() != "health" {
			t.Errorf("probe asks %s on port %s, want %s on health", probe.HTTPGet.Path, probe.HTTPGet.Port.String(), path)
		}
	}
	if _, ok := render(t, "replicaCount=2")["PodDisruptionBudget/twelvefold-webhook"]; ok {
		t.Error("two replicas and a budget of two: no node could be drained")
	}
}

func TestServiceReachesThePods(t *testing.T) {
	all := render(t)
	service := get[*corev1.Service](t, all, "Service/twelvefold-webhook")
	pod := get[*appsv1.Deployment](t, all, "Deployment/twelvefold-webhook").Spec.Template
	if !labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels)) {
		t.Errorf("selector %v doesn't match the pods' labels %v", service.Spec.Selector, pod.Labels)
	}
	ports := map[string]int32{}
	for _, p := range pod.Spec.Containers[0].Ports {
		ports[p.Name] = p.ContainerPort
	}
	if diff := cmp.Diff(map[string]int32{"https": 9443, "metrics": 8080, "health": 8081}, ports); diff != "" {
		t.Error(diff)
	}
	if p := service.Spec.Ports[0]; p.Port != 443 || p.TargetPort.String() != "https" {
		t.Errorf("port %d to %s, want 443 to https", p.Port, p.TargetPort.String())
	}
}

// TestRights holds all that the webhook may do. It may read no Secret but its own CA, and no pod.
func TestRights(t *testing.T) {
	configMaps := []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps"},
			ResourceNames: []string{"twelvefold-policy", "twelvefold-policy-last-good"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{""}, Resources: []string{"configmaps"},
			ResourceNames: []string{"twelvefold-policy-last-good"}, Verbs: []string{"update"}},
	}
	ca := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"},
		ResourceNames: []string{"twelvefold-ca"}, Verbs: []string{"get", "watch", "update"}}
	events := rbacv1.PolicyRule{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}}
	lists := func(group, resource string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: []string{"list", "watch"}}
	}
	cluster := []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"namespaces", "serviceaccounts"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get", "list"}},
		{APIGroups: []string{""}, Resources: []string{"limitranges"}, Verbs: []string{"list", "watch"}},
		lists("", "configmaps"), lists("secrets-store.csi.x-k8s.io", "secretproviderclasses"), lists("spv.no", "azurekeyvaultsecrets"),
		{APIGroups: []string{"monitoring.coreos.com", "azmonitoring.coreos.com"}, Resources: []string{"podmonitors", "servicemonitors"}, Verbs: []string{"list", "watch"}},
		lists("", "services"),
	}
	configurations := rbacv1.PolicyRule{APIGroups: []string{"admissionregistration.k8s.io"},
		Resources:     []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"},
		ResourceNames: []string{"aa-twelvefold"}, Verbs: []string{"get", "watch", "patch"}}

	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			wantRole, wantCluster := append(configMaps[:2:2], events), slices.Clip(cluster)
			if name == "self" { // else somebody else looks after certificates
				wantRole, wantCluster = append(configMaps[:2:2], ca, events), append(wantCluster, configurations)
			}
			all := render(t, mode...)
			if diff := cmp.Diff(wantRole, get[*rbacv1.Role](t, all, "Role/twelvefold-webhook").Rules); diff != "" {
				t.Errorf("Role (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(wantCluster, get[*rbacv1.ClusterRole](t, all, "ClusterRole/twelvefold-webhook").Rules); diff != "" {
				t.Errorf("ClusterRole (-want +got):\n%s", diff)
			}
			subject := []rbacv1.Subject{{Kind: "ServiceAccount", Name: "twelvefold-webhook", Namespace: namespace}}
			if diff := cmp.Diff(subject, get[*rbacv1.RoleBinding](t, all, "RoleBinding/twelvefold-webhook").Subjects); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(subject, get[*rbacv1.ClusterRoleBinding](t, all, "ClusterRoleBinding/twelvefold-webhook").Subjects); diff != "" {
				t.Error(diff)
			}
			for object := range all {
				if kind, _, _ := strings.Cut(object, "/"); strings.Contains(kind, "Role") && !strings.HasSuffix(object, "/twelvefold-webhook") {
					t.Errorf("%s grants rights that this test doesn't know", object)
				}
			}
		})
	}
}

// Without the values, the webhook reads no more; with rollouts, it may change workloads and nothing else.
func TestRightsFollowTheValues(t *testing.T) {
	rights := func(rules []rbacv1.PolicyRule) (all []string) {
		for _, r := range rules {
			for _, resource := range r.Resources {
				all = append(all, resource+" "+strings.Join(r.Verbs, ","))
			}
		}
		return all
	}
	before := render(t)
	off := render(t, "keyVault.configMaps=false", "keyVault.secretProviderClasses=false", "keyVault.azureKeyVaultSecrets=false", "metrics.monitors=false")
	on := render(t, "rollout.enabled=true")
	const name = "ClusterRole/twelvefold-webhook"
	base := rights(get[*rbacv1.ClusterRole](t, before, name).Rules)
	kept := slices.DeleteFunc(slices.Clone(base), func(s string) bool {
		return strings.HasSuffix(s, " list,watch") && !strings.HasPrefix(s, "limitranges ")
	})
	if diff := cmp.Diff(kept, rights(get[*rbacv1.ClusterRole](t, off, name).Rules)); diff != "" || len(kept) != len(base)-6 {
		t.Errorf("without sources (-want +got):\n%s", diff)
	}
	var added []string
	for _, s := range rights(get[*rbacv1.ClusterRole](t, on, name).Rules) {
		if !slices.Contains(base, s) {
			added = append(added, s)
		}
	}
	want := []string{"deployments list,patch", "statefulsets list,patch", "daemonsets list,patch", "pods list", "events create,patch"}
	if diff := cmp.Diff(want, added); diff != "" {
		t.Errorf("with rollouts, in the cluster (-want +got):\n%s", diff)
	}
	lease := rbacv1.PolicyRule{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"},
		ResourceNames: []string{"twelvefold-rollout"}, Verbs: []string{"get", "update"}}
	role := get[*rbacv1.Role](t, before, "Role/twelvefold-webhook").Rules
	if diff := cmp.Diff(append(slices.Clone(role), lease), get[*rbacv1.Role](t, on, "Role/twelvefold-webhook").Rules); diff != "" {
		t.Errorf("with rollouts, in the release's namespace (-want +got):\n%s", diff)
	}
	if l := get[*coordinationv1.Lease](t, on, "Lease/twelvefold-rollout"); l.Spec.HolderIdentity != nil {
		t.Errorf("the Lease is installed with the holder %q", *l.Spec.HolderIdentity)
	}
	mustHaveArg(t, get[*appsv1.Deployment](t, on, "Deployment/twelvefold-webhook").Spec.Template.Spec.Containers[0], "--rollout=true")
}

// With the scan, the webhook may read workloads and what stands beside them, and change nothing.
func TestRightsOfTheScan(t *testing.T) {
	before, on := render(t), render(t, "scan.enabled=true", "scan.interval=30m")
	const name = "ClusterRole/twelvefold-webhook"
	var added []rbacv1.PolicyRule
	for _, r := range get[*rbacv1.ClusterRole](t, on, name).Rules {
		if !slices.ContainsFunc(get[*rbacv1.ClusterRole](t, before, name).Rules, func(b rbacv1.PolicyRule) bool { return cmp.Equal(b, r) }) {
			added = append(added, r)
		}
	}
	want := []rbacv1.PolicyRule{
		{APIGroups: []string{"apps"}, Resources: []string{"deployments", "statefulsets", "daemonsets", "replicasets"}, Verbs: []string{"list"}},
		{APIGroups: []string{"batch"}, Resources: []string{"cronjobs", "jobs"}, Verbs: []string{"list"}},
		{APIGroups: []string{""}, Resources: []string{"pods", "services", "persistentvolumeclaims"}, Verbs: []string{"list"}},
		{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"ingresses"}, Verbs: []string{"list"}},
		{APIGroups: []string{"autoscaling"}, Resources: []string{"horizontalpodautoscalers"}, Verbs: []string{"list"}},
		{APIGroups: []string{"keda.sh"}, Resources: []string{"scaledobjects"}, Verbs: []string{"list"}},
		{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
	}
	if diff := cmp.Diff(want, added); diff != "" {
		t.Errorf("in the cluster (-want +got):\n%s", diff)
	}
	for _, kind := range slices.Concat(inventory.Workloads, inventory.Companions) {
		if !slices.ContainsFunc(added, func(r rbacv1.PolicyRule) bool {
			return slices.Contains(r.APIGroups, kind.Group) && slices.Contains(r.Resources, kind.Resource)
		}) {
			t.Errorf("the scan may not list %s", kind.Name())
		}
	}
	lease := rbacv1.PolicyRule{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"},
		ResourceNames: []string{"twelvefold-scan"}, Verbs: []string{"get", "update"}}
	role := get[*rbacv1.Role](t, before, "Role/twelvefold-webhook").Rules
	if diff := cmp.Diff(append(slices.Clone(role), lease), get[*rbacv1.Role](t, on, "Role/twelvefold-webhook").Rules); diff != "" {
		t.Errorf("in the release's namespace (-want +got):\n%s", diff)
	}
	if l := get[*coordinationv1.Lease](t, on, "Lease/twelvefold-scan"); l.Spec.HolderIdentity != nil {
		t.Errorf("the Lease is installed with the holder %q", *l.Spec.HolderIdentity)
	}
	container := get[*appsv1.Deployment](t, on, "Deployment/twelvefold-webhook").Spec.Template.Spec.Containers[0]
	mustHaveArg(t, container, "--scan=true")
	mustHaveArg(t, container, "--scan-interval=30m")
	mustHaveArg(t, container, "--scan-registry=false")
	reports := rbacv1.PolicyRule{APIGroups: []string{"openreports.io"}, Resources: []string{"reports"}, Verbs: []string{"list", "create", "update", "delete"}}
	for values, want := range map[string]bool{"scan.enabled=true": true, "scan.enabled=false": false} {
		granted := get[*rbacv1.ClusterRole](t, render(t, values, "scan.reports=true"), name).Rules
		if got := slices.ContainsFunc(granted, func(r rbacv1.PolicyRule) bool { return cmp.Equal(r, reports) }); got != want {
			t.Errorf("with %s: rights on Reports: %v", values, got)
		}
	}
	both := render(t, "scan.enabled=true", "rollout.enabled=true")
	get[*coordinationv1.Lease](t, both, "Lease/twelvefold-scan")
	get[*coordinationv1.Lease](t, both, "Lease/twelvefold-rollout")
}

// What the webhook writes is installed without data, so that no upgrade overwrites it.
func TestOwnStateIsInstalledEmpty(t *testing.T) {
	all := render(t)
	if s := get[*corev1.Secret](t, all, "Secret/twelvefold-ca"); s.Data != nil || s.StringData != nil {
		t.Errorf("Secret twelvefold-ca has data: %v %v", s.Data, s.StringData)
	}
	if c := get[*corev1.ConfigMap](t, all, "ConfigMap/twelvefold-policy-last-good"); c.Data != nil || c.BinaryData != nil {
		t.Errorf("ConfigMap twelvefold-policy-last-good has data: %v", c.Data)
	}
}

func TestPolicy(t *testing.T) {
	all := render(t, "policy.profile=strict", "policy.rules.mutable-tag.level=deny")
	policy := get[*corev1.ConfigMap](t, all, "ConfigMap/twelvefold-policy")
	if policy.Labels["twelvefold.dev/policy"] != "true" {
		t.Errorf("labels %v: /validate-policy won't see it", policy.Labels)
	}
	want := `apiVersion: twelvefold.dev/v1alpha1
kind: Policy
spec:
  profile: strict
  rules:
    mutable-tag:
      level: deny
`
	if diff := cmp.Diff(want, policy.Data["policy.yaml"]); diff != "" {
		t.Error(diff)
	}
	if _, ok := render(t, "policy=null")["ConfigMap/twelvefold-policy"]; ok {
		t.Error("policy=null must leave the ConfigMap to others")
	}
}

func TestImages(t *testing.T) {
	digest := "sha256:" + strings.Repeat("ab", 32)
	container := get[*appsv1.Deployment](t, render(t, "image.repository=shop.azurecr.io/webhook", "image.tag=v7",
		"agent.image.repository=shop.azurecr.io/agent", "agent.image.digest="+digest), "Deployment/twelvefold-webhook").
		Spec.Template.Spec.Containers[0]
	if want := "shop.azurecr.io/webhook:v7"; container.Image != want {
		t.Errorf("image %s, want %s", container.Image, want)
	}
	mustHaveArg(t, container, "--agent-image=shop.azurecr.io/agent@"+digest)
}

func mustSelect(t *testing.T, selector *metav1.LabelSelector, target map[string]string) {
	t.Helper()
	if s, err := metav1.LabelSelectorAsSelector(selector); err != nil || !s.Matches(labels.Set(target)) {
		t.Errorf("selector %v (%v) doesn't match labels %v", selector, err, target)
	}
}

func mustHaveArg(t *testing.T, container corev1.Container, want string) {
	t.Helper()
	for _, arg := range container.Args {
		if arg == want {
			return
		}
	}
	t.Errorf("args lack %s: %q", want, container.Args)
}

// TestPullSecret mounts the docker config where the webhook looks for it, beside its certificate.
func TestPullSecret(t *testing.T) {
	all := render(t, "registry.pullSecret=acr-pull", "certificates.mode=secret", "certificates.secretName=tls", "certificates.caBundle=-----BEGIN CERTIFICATE-----")
	pod := get[*appsv1.Deployment](t, all, "Deployment/twelvefold-webhook").Spec.Template.Spec
	container := pod.Containers[0]
	dir := ""
	for _, e := range container.Env {
		if e.Name == "DOCKER_CONFIG" {
			dir = e.Value
		}
	}
	want := []corev1.VolumeMount{{Name: "tls", MountPath: "/etc/twelvefold/tls", ReadOnly: true}, {Name: "registry", MountPath: dir, ReadOnly: true}}
	if diff := cmp.Diff(want, container.VolumeMounts); dir == "" || diff != "" {
		t.Error(diff)
	}
	secret := &corev1.SecretVolumeSource{SecretName: "acr-pull", Items: []corev1.KeyToPath{{Key: ".dockerconfigjson", Path: "config.json"}}}
	if diff := cmp.Diff(secret, pod.Volumes[len(pod.Volumes)-1].Secret); len(pod.Volumes) != 2 || diff != "" {
		t.Error(diff)
	}
	pod = get[*appsv1.Deployment](t, render(t), "Deployment/twelvefold-webhook").Spec.Template.Spec
	if len(pod.Volumes)+len(pod.Containers[0].VolumeMounts) > 0 {
		t.Errorf("by default the webhook mounts %v", pod.Volumes)
	}
}
