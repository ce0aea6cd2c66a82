package charts

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"twelvefold.dev/internal/live"
	"twelvefold.dev/internal/mutate"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
)

func TestMutatingWebhook(t *testing.T) {
	config := get[*admissionv1.MutatingWebhookConfiguration](t, render(t), "MutatingWebhookConfiguration/aa-twelvefold")
	if len(config.Webhooks) != 1 {
		t.Fatalf("%d webhooks, want 1", len(config.Webhooks))
	}
	w := config.Webhooks[0]
	got := []any{w.Name, *w.ClientConfig.Service.Path, *w.FailurePolicy, *w.ReinvocationPolicy, *w.MatchPolicy, *w.SideEffects, *w.TimeoutSeconds, w.AdmissionReviewVersions}
	want := []any{"mutate.twelvefold.dev", "/mutate", admissionv1.Fail, admissionv1.IfNeededReinvocationPolicy, admissionv1.Equivalent,
		admissionv1.SideEffectClassNone, int32(5), []string{"v1"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"CREATE /pods"}, watched(w.Rules)); diff != "" {
		t.Error(diff)
	}
	for _, other := range []string{"istio-sidecar-injector", "linkerd-proxy-injector-webhook-config", "opentelemetry-operator-mutation"} {
		if config.Name >= other {
			t.Errorf("%s is called after %s", config.Name, other)
		}
	}
}

func TestValidatingWebhooks(t *testing.T) {
	config := get[*admissionv1.ValidatingWebhookConfiguration](t, render(t), "ValidatingWebhookConfiguration/aa-twelvefold")
	if len(config.Webhooks) != 2 {
		t.Fatalf("%d webhooks, want 2", len(config.Webhooks))
	}
	pods, policy := config.Webhooks[0], config.Webhooks[1]

	if *pods.FailurePolicy != admissionv1.Fail || *pods.ClientConfig.Service.Path != "/validate" {
		t.Errorf("%s: failure policy %s, path %s", pods.Name, *pods.FailurePolicy, *pods.ClientConfig.Service.Path)
	}
	want := []string{
		"CREATE,UPDATE /pods",
		"UPDATE /pods/ephemeralcontainers",
		"CREATE,UPDATE apps/deployments", "CREATE,UPDATE apps/statefulsets", "CREATE,UPDATE apps/daemonsets", "CREATE,UPDATE apps/replicasets",
		"CREATE,UPDATE batch/jobs", "CREATE,UPDATE batch/cronjobs",
	}
	if diff := cmp.Diff(want, watched(pods.Rules)); diff != "" {
		t.Error(diff)
	}

	if *policy.FailurePolicy != admissionv1.Ignore || *policy.ClientConfig.Service.Path != "/validate-policy" {
		t.Errorf("%s: failure policy %s, path %s", policy.Name, *policy.FailurePolicy, *policy.ClientConfig.Service.Path)
	}
	if diff := cmp.Diff([]string{"CREATE,UPDATE /configmaps"}, watched(policy.Rules)); diff != "" {
		t.Error(diff)
	}
	mustSelect(t, policy.ObjectSelector, map[string]string{"twelvefold.dev/policy": "true"})
	mustSelect(t, policy.NamespaceSelector, map[string]string{"kubernetes.io/metadata.name": namespace})
	if selects(t, policy.NamespaceSelector, map[string]string{"kubernetes.io/metadata.name": "elsewhere"}) {
		t.Error("ConfigMaps of other namespaces are sent, too")
	}
}

func TestNamespaces(t *testing.T) {
	all := render(t, "failurePolicy=Ignore")
	selectors := map[string]*metav1.LabelSelector{
		"mutating":   get[*admissionv1.MutatingWebhookConfiguration](t, all, "MutatingWebhookConfiguration/aa-twelvefold").Webhooks[0].NamespaceSelector,
		"validating": get[*admissionv1.ValidatingWebhookConfiguration](t, all, "ValidatingWebhookConfiguration/aa-twelvefold").Webhooks[0].NamespaceSelector,
		"backstop":   get[*admissionv1.ValidatingAdmissionPolicyBinding](t, all, "ValidatingAdmissionPolicyBinding/twelvefold-unresolved-references").Spec.MatchResources.NamespaceSelector,
	}
	const name, admission = "kubernetes.io/metadata.name", "twelvefold.dev/admission"
	tests := []struct {
		what   string
		labels map[string]string
		want   bool
	}{
		{"opted in", map[string]string{name: "shop", admission: "enabled"}, true},
		{"no label", map[string]string{name: "shop"}, false},
		{"another value", map[string]string{name: "shop", admission: "disabled"}, false},
		{"kube-system, labelled", map[string]string{name: "kube-system", admission: "enabled"}, false},
		{"the release namespace, labelled", map[string]string{name: namespace, admission: "enabled"}, false},
		{"gatekeeper-system, labelled", map[string]string{name: "gatekeeper-system", admission: "enabled"}, false},
		{"a control plane", map[string]string{name: "shop", admission: "enabled", "control-plane": "true"}, false},
		{"managed by AKS", map[string]string{name: "shop", admission: "enabled", "kubernetes.azure.com/managedby": "aks"}, false},
	}
	for which, selector := range selectors {
		for _, test := range tests {
			if got := selects(t, selector, test.labels); got != test.want {
				t.Errorf("%s: namespace %s: selected %v, want %v", which, test.what, got, test.want)
			}
		}
	}
}

// AKS adds these to every webhook configuration that lacks them, and then owns the field for good.
func TestAKSSelectorsAreThereAlready(t *testing.T) {
	want := []metav1.LabelSelectorRequirement{
		{Key: "control-plane", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"true"}},
		{Key: "kubernetes.azure.com/managedby", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"aks"}},
	}
	all := render(t)
	webhooks := get[*admissionv1.ValidatingWebhookConfiguration](t, all, "ValidatingWebhookConfiguration/aa-twelvefold").Webhooks
	selectors := []*metav1.LabelSelector{get[*admissionv1.MutatingWebhookConfiguration](t, all, "MutatingWebhookConfiguration/aa-twelvefold").Webhooks[0].NamespaceSelector}
	for _, w := range webhooks {
		selectors = append(selectors, w.NamespaceSelector)
	}
	for i, s := range selectors {
		last := s.MatchExpressions[len(s.MatchExpressions)-2:]
		if diff := cmp.Diff(want, last); diff != "" {
			t.Errorf("selector %d: %s", i, diff)
		}
	}
}

// The command line and exported policies leave alone what the webhook does.
func TestSystemNamespacesAreExcluded(t *testing.T) {
	values, err := os.ReadFile("twelvefold/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var chart struct{ ExcludedNamespaces []string }
	if err := yaml.Unmarshal(values, &chart); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(policy.SystemNamespaces, chart.ExcludedNamespaces); diff != "" {
		t.Errorf("(-code +chart):\n%s", diff)
	}
	container := get[*appsv1.Deployment](t, render(t, "excludedNamespaces={kube-system,infra}"), "Deployment/twelvefold-webhook").Spec.Template.Spec.Containers[0]
	mustHaveArg(t, container, "--excluded-namespaces=kube-system,infra") // for the scan and rollouts
	for label, value := range map[string]string{"control-plane": "true", "kubernetes.azure.com/managedby": "aks"} {
		if !live.System("shop", map[string]string{label: value}) {
			t.Errorf("a namespace with %s: %s is read", label, value)
		}
	}
}

func TestFailurePolicySwitch(t *testing.T) {
	const backstop, binding = "ValidatingAdmissionPolicy/twelvefold-unresolved-references", "ValidatingAdmissionPolicyBinding/twelvefold-unresolved-references"
	fail := render(t)
	if fail[backstop] != nil || fail[binding] != nil {
		t.Error("failurePolicy Fail needs no backstop")
	}
	ignore := render(t, "failurePolicy=Ignore")
	if p := get[*admissionv1.MutatingWebhookConfiguration](t, ignore, "MutatingWebhookConfiguration/aa-twelvefold").Webhooks[0].FailurePolicy; *p != admissionv1.Ignore {
		t.Errorf("mutating: %s, want Ignore", *p)
	}
	if p := get[*admissionv1.ValidatingWebhookConfiguration](t, ignore, "ValidatingWebhookConfiguration/aa-twelvefold").Webhooks[0].FailurePolicy; *p != admissionv1.Ignore {
		t.Errorf("validating: %s, want Ignore", *p)
	}
	policy := get[*admissionv1.ValidatingAdmissionPolicy](t, ignore, backstop)
	if *policy.Spec.FailurePolicy != admissionv1.Fail {
		t.Errorf("the backstop itself fails open: %s", *policy.Spec.FailurePolicy)
	}
	bound := get[*admissionv1.ValidatingAdmissionPolicyBinding](t, ignore, binding)
	if diff := cmp.Diff([]admissionv1.ValidationAction{admissionv1.Deny}, bound.Spec.ValidationActions); diff != "" {
		t.Error(diff)
	}
	if bound.Spec.PolicyName != policy.Name {
		t.Errorf("binding of %s, want %s", bound.Spec.PolicyName, policy.Name)
	}
}

// The backstop finds in a pod what the webhook would have resolved or refused, and takes nothing else for it.
func TestBackstopKnowsTheForms(t *testing.T) {
	backstop := get[*admissionv1.ValidatingAdmissionPolicy](t, render(t, "failurePolicy=Ignore"), "ValidatingAdmissionPolicy/twelvefold-unresolved-references")
	var expressions []*regexp.Regexp // CEL has the regular expressions of Go
	for _, text := range regexp.MustCompile(`matches\("([^"]*)"\)`).FindAllStringSubmatch(backstop.Spec.Variables[1].Expression, -1) {
		expressions = append(expressions, regexp.MustCompile(text[1]))
	}
	if len(expressions) != 2 {
		t.Fatalf("%d expressions, want that of App Service's form, and that of the others: %s", len(expressions), backstop.Spec.Variables[1].Expression)
	}
	for value, want := range map[string]bool{
		"@Microsoft.KeyVault(VaultName=shop;SecretName=a)": true, "x${@MICROSOFT.keyvault(VaultName=shop;SecretName=a)}": true,
		"azure:keyvault:a": true, " azure:keyvault:a/b\n": true, "a@azurekeyvault": true, "a.b@azurekeyvault?tls.key\n": true,
		"": false, "azure:keyvault:": false, "azure:keyvault: a": false, "see azure:keyvault:a": false, "ops@azurekeyvault.example": false, "mail ops@azurekeyvault": false,
		"contoso.azurecr.io/a@azurekeyvault": false, "a@azurekeyvault?a\nb": false, "vault:secret/a#b": false, "@Microsoft.KeyVault": false,
		"azure:keyvault:" + strings.Repeat("a", 1024): false,
	} {
		found := expressions[0].MatchString(value) || strings.Contains(value, "azure") && len(value) <= 1024 && expressions[1].MatchString(value)
		if found != want {
			t.Errorf("%q: found %v", value, found)
		}
		pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Env: []corev1.EnvVar{{Name: "A", Value: value}}}}}}
		if left := mutate.Unresolved(pod, policy.Default(rules.Catalogue{}).For("shop", nil)); len(left) > 0 != want {
			t.Errorf("%q: the webhook says %v", value, left)
		}
	}
}

func TestValuesAreChecked(t *testing.T) {
	tests := []struct{ value, want string }{
		{"polcy.profile=strict", "additional properties 'polcy' not allowed"},
		{"image.tga=v1", "at '/image': additional properties 'tga' not allowed"},
		{"replicaCount=three", "at '/replicaCount': got string, want integer"},
		{"replicaCount=0", "at '/replicaCount': minimum: got 0, want 1"},
		{"failurePolicy=fail", "at '/failurePolicy': value must be one of 'Fail', 'Ignore'"},
		{"image.digest=sha256:12", "at '/image/digest': 'sha256:12' does not match pattern"},
		{"drainDelay=10", "at '/drainDelay'"},
		{"certificates.mode=magic", "at '/certificates/mode': value must be one of 'self', 'cert-manager', 'secret'"},
		{"certificates.mode=cert-manager", "at '/certificates/issuerRef/name': minLength"},
		{"certificates.mode=secret", "at '/certificates/secretName': minLength"},
		{"excludedNamespaces={a}", "at '/excludedNamespaces'"},
		{"policy=strict", "at '/policy': got string, want null or object"},
		{"resources.limits=null", "at '/resources': missing property 'limits'"},
	}
	for _, test := range tests {
		out, err := template(t, test.value)
		if err == nil {
			t.Errorf("%s: accepted:\n%s", test.value, out)
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v\nwant: %s", test.value, err, test.want)
		}
	}
}

// watched lists what rules select, as "OPERATIONS group/resource".
func watched(rules []admissionv1.RuleWithOperations) (list []string) {
	for _, rule := range rules {
		var operations []string
		for _, o := range rule.Operations {
			operations = append(operations, string(o))
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				list = append(list, strings.Join(operations, ",")+" "+group+"/"+resource)
			}
		}
	}
	return list
}

func selects(t *testing.T, selector *metav1.LabelSelector, target map[string]string) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return s.Matches(labels.Set(target))
}
