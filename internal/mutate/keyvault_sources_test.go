package mutate_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/mutate"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
)

// withConfigMap are the facts of a request where one ConfigMap is known.
func withConfigMap(t *testing.T, data map[string]string) policy.Facts {
	t.Helper()
	object, err := json.Marshal(corev1.ConfigMap{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	facts := inCluster()
	facts.Object = func(kind, name string) []byte {
		if kind == "ConfigMap" && name == "settings" {
			return object
		}
		return nil
	}
	return facts
}

func podFrom(configMap string) corev1.Pod {
	pod := podWith(nil)
	pod.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: configMap}}}}
	return pod
}

// Between two passes a ConfigMap may change, lose its label, or become unreadable: the pod stays as the first left it.
func TestConfigMapChangesBetweenPasses(t *testing.T) {
	first, findings := keyVault(t, podFrom("settings"), "{}", withConfigMap(t, map[string]string{"A": reference, "B": "x${" + reference + "}$(A)"}))
	if len(findings) > 0 || len(first.InitContainers()) != 1 {
		t.Fatal(findings)
	}
	for name, facts := range map[string]policy.Facts{
		"same":    withConfigMap(t, map[string]string{"A": reference, "B": "x${" + reference + "}$(A)"}),
		"other":   withConfigMap(t, map[string]string{"A": strings.Replace(reference, "=a", "=b", 1), "B": "plain", "C": "plain"}),
		"unknown": inCluster(),
	} {
		t.Run(name, func(t *testing.T) {
			second, findings := keyVault(t, *first.Pod(), "{}", facts)
			if len(findings)+len(second.Operations()) > 0 {
				t.Errorf("%v %v", findings, second.Operations())
			}
		})
	}
}

// An AzureKeyVaultSecret that the cluster lacks is refused there. Offline it may be in the cluster: the fixtures show the
// warning.
func TestUnknownKeyVaultSecret(t *testing.T) {
	edit, findings := keyVault(t, podWith(nil, corev1.EnvVar{Name: "A", Value: "database@azurekeyvault"}), "{}", inCluster())
	wantDenied(t, edit, findings, `nobody knows "database"`)
	wantDenied(t, edit, findings, "add database: https://<vault>.vault.azure.net/secrets/<name> to keyVault.akv2k8s of the policy, create the AzureKeyVaultSecret")
}

func TestUnknownConfigMaps(t *testing.T) {
	for name, object := range map[string][]byte{"nobody knows it": nil, "broken": []byte(`{"data": 1}`), "empty": []byte(`{}`), "not JSON": []byte("x")} {
		facts := inCluster()
		facts.Object = func(string, string) []byte { return object }
		if edit, findings := keyVault(t, podFrom("settings"), "{}", facts); len(findings) > 0 || len(edit.InitContainers()) > 0 {
			t.Errorf("%s: %v", name, findings)
		}
	}
}

// Another webhook put a container before fetch: what it takes from a ConfigMap could not be there yet.
func TestConfigMapBeforeFetch(t *testing.T) {
	facts := withConfigMap(t, map[string]string{"A": reference})
	edit, findings := keyVault(t, podFrom("settings"), "{}", facts)
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	pod := edit.Pod().DeepCopy()
	early := corev1.Container{Name: "early", EnvFrom: pod.Spec.Containers[0].EnvFrom}
	pod.Spec.InitContainers = append([]corev1.Container{early}, pod.Spec.InitContainers...)
	if _, findings = keyVault(t, *pod, "{}", facts); len(findings) != 1 || findings[0].Level != policy.Deny || !strings.Contains(findings[0].Message, "before twelvefold-fetch") {
		t.Error(findings)
	}
}

// A pod that names a large ConfigMap again and again costs no more than one that a process could use.
func TestTooMuchFromConfigMaps(t *testing.T) {
	data := map[string]string{}
	for i := range 3000 {
		data[fmt.Sprintf("V%d", i)] = "x"
	}
	pod := podFrom("settings")
	for i := range 5000 {
		source := pod.Spec.Containers[0].EnvFrom[0]
		source.Prefix = fmt.Sprintf("P%d_", i)
		pod.Spec.Containers[0].EnvFrom = append(pod.Spec.Containers[0].EnvFrom, source)
	}
	edit, findings := keyVault(t, pod, "{}", withConfigMap(t, data))
	wantDenied(t, edit, findings, "envFrom[3].configMapRef: the pod takes more than 10000 variables")
}

// An annotation for what a ConfigMap sets: the same secret is no clash, another one is refused.
func TestConfigMapClash(t *testing.T) {
	facts := withConfigMap(t, map[string]string{"A": reference, "PLAIN": "x"})
	pod := podFrom("settings")
	pod.Annotations = map[string]string{"twelvefold.dev/keyvault": "shop", "env.twelvefold.dev/A": "a", "env.twelvefold.dev/PLAIN": "b"}
	if _, findings := keyVault(t, pod, "{}", facts); len(findings) > 0 {
		t.Error(findings)
	}
	pod.Annotations["env.twelvefold.dev/A"] = "b"
	edit, findings := keyVault(t, pod, "{}", facts)
	wantDenied(t, edit, findings, `env[name="A"] sets A too, to something else`)
}

// Vaults of the policy hold for every form, and on Windows none is resolved.
func TestFormsAreGuarded(t *testing.T) {
	const spec = `{keyVault: {vaults: [{name: shop, namespaces: [other]}], akv2k8s: {a: "https://shop.vault.azure.net/secrets/a"}}}`
	pod := podFrom("settings")
	pod.Annotations = map[string]string{"twelvefold.dev/keyvault": "shop"}
	pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "BANK_VAULTS", Value: "azure:keyvault:a"}, {Name: "AKV2K8S", Value: "a@azurekeyvault"}}
	facts := withConfigMap(t, map[string]string{"MAPPED": reference})
	edit, findings := keyVault(t, pod, spec, facts)
	wantDenied(t, edit, findings, `"BANK_VAULTS"].value: the vault`, `"AKV2K8S"].value: the vault`, `"MAPPED"].value: the vault`)
	pod.Spec.OS = &corev1.PodOS{Name: corev1.Windows}
	edit, findings = keyVault(t, pod, spec, facts)
	wantDenied(t, edit, findings, `"BANK_VAULTS"].value: Key Vault references are not resolved`, `"AKV2K8S"].value: Key Vault`, `"MAPPED"].value: Key Vault`)
}

// The kubelet expands nothing in the plan, whatever a field is called.
func TestPlanIsNotExpanded(t *testing.T) {
	edit, findings := keyVault(t, podWith(map[string]string{"env.twelvefold.dev/A": "https://shop.vault.azure.net/secrets/a?field=$(AZURE_CLIENT_ID)$$"}), "{}", inCluster())
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	text := edit.InitContainers()[0].Get().Env[0].Value
	plan, err := keyvault.ParsePlan(text)
	if err != nil || strings.Contains(text, "$") || plan.Env[0].Field != "$(AZURE_CLIENT_ID)$$" {
		t.Errorf("%s: %v", text, err)
	}
	if again, findings := keyVault(t, *edit.Pod(), "{}", inCluster()); len(findings)+len(again.Operations()) > 0 {
		t.Errorf("the second pass: %v %v", findings, again.Operations())
	}
}

// What is left of any form after the last mutation is refused; what only looks like one is not.
func TestUnresolved(t *testing.T) {
	for value, want := range map[string]int{
		reference: 1, "x${" + reference + "}": 1, "azure:keyvault:a": 1, "azure:keyvault:a_b": 1, "a@azurekeyvault": 1, "a@azurekeyvault?tls.key": 1,
		"": 0, "azure:keyvault:": 0, "see azure:keyvault:a": 0, "azure:keyvault: a": 0, "ops@azurekeyvault.example": 0, "mail ops@azurekeyvault": 0,
		"contoso.azurecr.io/a@azurekeyvault": 0, "vault:secret/a#b": 0,
	} {
		pod := podWith(nil, corev1.EnvVar{Name: "A", Value: value})
		pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Env: pod.Spec.Containers[0].Env}}}
		if got := mutate.Unresolved(&pod, policy.Default(rules.Catalogue{}).For("shop", nil)); len(got) != 2*want {
			t.Errorf("%q: %v", value, got)
		}
	}
}

// Whatever a ConfigMap and an object hold: the second pass changes nothing, and no reference is left where none is refused.
func FuzzEnvFrom(f *testing.F) {
	f.Add("A", "$${"+reference+"}$(X)", "", `{}`)
	f.Add("A", "azure:keyvault:a", "https://shop.vault.azure.net", `{}`)
	f.Add("A.b", "a@azurekeyvault?username", "x", `{"spec": {"vault": {"name": "shop", "object": {"type": "secret", "name": "a"}}}}`)
	f.Fuzz(func(t *testing.T, key, text, url, object string) {
		data := map[string]string{}
		for k, v := range map[string]string{key: text, "AZURE_KEY_VAULT_URL": url} {
			data[strings.ToValidUTF8(k, "?")] = strings.ToValidUTF8(v, "?")
		}
		facts := withConfigMap(t, data)
		known := facts.Object
		facts.Object = func(kind, name string) []byte {
			if kind == "AzureKeyVaultSecret" {
				return []byte(object)
			}
			return known(kind, name)
		}
		first, findings := keyVault(t, podFrom("settings"), "{}", facts)
		for _, finding := range findings {
			if finding.Level == policy.Deny {
				return
			}
		}
		if again, _ := keyVault(t, *first.Pod(), "{}", facts); len(again.Operations()) > 0 {
			t.Errorf("the second pass has a patch: %v", again.Operations())
		}
		if left := mutate.Unresolved(first.Pod(), policy.Default(rules.Catalogue{}).For("shop", nil)); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
	})
}
