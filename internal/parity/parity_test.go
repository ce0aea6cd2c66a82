package parity_test

import (
	"encoding/json"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/parity"
	"twelvefold.dev/internal/review/reviewtest"
)

// A pod is like itself, and differs from another as the other does from it. What is found is proven in cmd/twelvefold.
func TestCompare(t *testing.T) {
	var pods []corev1.PodTemplateSpec
	for _, file := range reviewtest.Files(t, "../policy/rules/testdata/*/*/*.yaml") {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := manifest.Read(f, file)
		_ = f.Close()
		if err != nil {
			continue
		}
		for _, o := range objects {
			template, ok, err := o.Template()
			var pod corev1.PodTemplateSpec
			if ok && err == nil && json.Unmarshal(template.JSON, &pod) == nil {
				pods = append(pods, pod)
			}
		}
	}
	if len(pods) < 100 {
		t.Fatalf("only %d pods", len(pods))
	}
	different := 0
	for i, pod := range pods {
		if found := parity.Compare(pod, pod); len(found) > 0 {
			t.Errorf("pod %d differs from itself: %v", i, found)
		}
		other := pods[(i+1)%len(pods)]
		there, back := parity.Compare(pod, other), parity.Compare(other, pod)
		different += len(there)
		if len(there) != len(back) {
			t.Errorf("pods %d and %d: %d differences, the other way round %d", i, i+1, len(there), len(back))
		}
	}
	if different == 0 {
		t.Error("no pod differs from another")
	}
}

// A secret of Key Vault in one environment and a text in the other is a difference, in whatever syntax.
func TestSourcesOfVariables(t *testing.T) {
	pod := func(value string) corev1.PodTemplateSpec {
		return corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a:1", Env: []corev1.EnvVar{{Name: "A", Value: value}}}}}}
	}
	for _, reference := range []string{"@Microsoft.KeyVault(VaultName=a;SecretName=b)", "Server=db;Password=${@Microsoft.KeyVault(VaultName=a;SecretName=b)}", "azure:keyvault:b", "b@azurekeyvault", "@microsoft.keyvault(SecretUri=https://a.vault.azure.net/secrets/b)"} {
		if got := parity.Compare(pod(reference), pod("text")); len(got) != 1 || got[0].First != "from Key Vault" || got[0].Second != "a value" {
			t.Errorf("%s: %+v", reference, got)
		}
	}
}
