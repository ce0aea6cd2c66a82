package charts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/server"
)

// renderFile renders the chart with a file of values.
func renderFile(t *testing.T, values string) objects {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := runHelm(t, "template", "twelvefold", "twelvefold", "--namespace", namespace, "--kube-version", "1.37.2", "--values", file)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, text)
}

// The webhook parses what the chart passes, and the chart passes every flag but the address to bind to.
func TestFlagsAreTheWebhooks(t *testing.T) {
	for mode, test := range map[string]struct{ values, unset []string }{
		"self":         {nil, []string{"azure-client-id", "azure-tenant-id", "azure-token-file", "bind-address", "help", "tls-dir"}},
		"cert-manager": {[]string{"certificates.mode=cert-manager", "certificates.issuerRef.name=ca", clientID, tenantID, "drainDelay=1m30s", "logLevel=debug"}, []string{"bind-address", "ca-secret", "help"}},
	} {
		t.Run(mode, func(t *testing.T) {
			args := get[*appsv1.Deployment](t, render(t, test.values...), "Deployment/twelvefold-webhook").Spec.Template.Spec.Containers[0].Args
			command := server.Command()
			command.InitDefaultHelpFlag()
			if err := command.ParseFlags(args); err != nil {
				t.Fatal(err)
			}
			var unset []string
			command.Flags().VisitAll(func(f *pflag.Flag) {
				if !f.Changed {
					unset = append(unset, f.Name)
				}
			})
			if diff := cmp.Diff(test.unset, unset); diff != "" {
				t.Errorf("flags that the chart leaves alone (-want +got):\n%s", diff)
			}
		})
	}
}

// A policy is the same after Helm has read it and written it again, whose YAML has its own ideas of off, dates and numbers.
func TestPolicySurvivesHelm(t *testing.T) {
	const spec = `
  profile: off
  factors: {V: off, XI: warn}
  rules:
    mutable-tag: {level: off, params: {floating: [latest, main]}}
  namespaces:
  - match: {names: ["prod-*"], labels: {tier: prod, active: "true"}}
    profile: strict
  exemptions:
  - rules: [host-network]
    namespace: edge
    workload: DaemonSet/proxy
    container: "*"
    reason: |
      needs the node's ports:
        - 80 {{ not a template }}

      and 443
    owner: team-edge
    expires: 2027-03-31
  metrics:
    exporters:
    - {name: big, match: [big], image: "registry.test/big:1.0", port: 9999, user: 1000740000}
  tests:
  - name: a floating tag
    pod: {spec: {containers: [{name: a, image: "a:latest", env: [{name: X, value: "1e3"}]}]}}
    expect: {}
`
	direct, err := review.LoadPolicy([]byte("apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec:"+spec), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	configMap := get[*corev1.ConfigMap](t, renderFile(t, "policy:"+spec), "ConfigMap/twelvefold-policy")
	rendered, err := review.LoadPolicy([]byte(configMap.Data[policy.Key]), rules.Catalogue{})
	if err != nil {
		t.Fatalf("%v in\n%s", err, configMap.Data[policy.Key])
	}
	if diff := cmp.Diff(direct.Spec(), rendered.Spec(), cmpopts.IgnoreFields(yaml.Node{}, "Line", "Column", "Style")); diff != "" {
		t.Errorf("the policy after Helm (-want +got):\n%s", diff)
	}
}

func TestPodSettings(t *testing.T) {
	all := renderFile(t, `
replicaCount: 1
imagePullSecrets: [shop-pull]
podAnnotations: {team: platform, n: "1"}
podLabels: {azure.workload.identity/use: "true"}
nodeSelector: {kubernetes.io/os: linux, agentpool: system}
tolerations: [{key: CriticalAddonsOnly, operator: Exists}]
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In, values: [b]}]}]}}}
resources: {requests: {cpu: 50m, memory: 64Mi}, limits: {memory: 512Mi, cpu: 2}}
networkPolicy: {metricsFrom: [{namespaceSelector: {matchLabels: {name: monitoring}}}]}
`)
	pod := get[*appsv1.Deployment](t, all, "Deployment/twelvefold-webhook").Spec.Template
	got := []string{pod.Spec.ImagePullSecrets[0].Name, pod.Annotations["team"], pod.Labels["azure.workload.identity/use"], pod.Spec.NodeSelector["agentpool"],
		pod.Spec.Tolerations[0].Key, pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[0].MatchExpressions[0].Key,
		pod.Spec.Containers[0].Resources.Limits.Cpu().String()}
	want := []string{"shop-pull", "platform", "true", "system", "CriticalAddonsOnly", "a", "2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The names of a release and a namespace may take 53 and 63 characters.
func TestLongNames(t *testing.T) {
	release, namespace := strings.Repeat("r", 53), strings.Repeat("n", 63)
	text, err := runHelm(t, "template", release, "twelvefold", "--namespace", namespace, "--kube-version", "1.37.2")
	if err != nil {
		t.Fatal(err)
	}
	pod := get[*appsv1.Deployment](t, parse(t, text), "Deployment/twelvefold-webhook").Spec.Template
	for key, value := range pod.Labels {
		if len(value) > 63 {
			t.Errorf("label %s has %d characters", key, len(value))
		}
	}
}
