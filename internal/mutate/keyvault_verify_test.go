package mutate_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/policy"
)

// Only what the policy gives the namespace is looked up, each object once: the answer about another vault would tell what is in it.
func TestVerificationAsksForWhatIsListed(t *testing.T) {
	annotations := map[string]string{"twelvefold.dev/keyvault": "shop", "env.twelvefold.dev/B": "a", "file.twelvefold.dev/c": "a"}
	for spec, want := range map[string]int{
		"{}":                         0,
		"{keyVault: {verify: deny}}": 0,
		"{keyVault: {vaults: [{name: shop, namespaces: [pay]}]}}":                  0,
		"{keyVault: {vaults: [{name: shop, namespaces: ['*']}]}}":                  1,
		"{keyVault: {verify: off, vaults: [{name: shop, namespaces: ['*']}]}}":     0,
		"{keyVault: {vaults: [{name: shop.vault.azure.net, namespaces: [shop]}]}}": 1,
	} {
		facts, asked := inCluster(), 0
		facts.Secret = func(o keyvault.Object) policy.Metadata {
			if asked++; o != (keyvault.Object{Vault: "shop.vault.azure.net", Name: "a"}) {
				t.Errorf("asked for %s", o)
			}
			return policy.Metadata{State: policy.Exists, Enabled: true}
		}
		keyVault(t, podWith(annotations, corev1.EnvVar{Name: "A", Value: reference}), spec, facts)
		if asked != want {
			t.Errorf("%s: %d lookups, want %d", spec, asked, want)
		}
	}
}

// The hint reaches whoever creates the pod: it stands in the part of a finding that a warning has room for.
func TestVerificationWarnsOnOneLine(t *testing.T) {
	const spec = "{keyVault: {vaults: [{name: shop, namespaces: ['*']}]}}"
	for name, fits := range map[string]bool{"db-pasword": true, strings.Repeat("x", 127): false} {
		facts := inCluster()
		facts.Secret = func(keyvault.Object) policy.Metadata {
			return policy.Metadata{State: policy.Missing, Asked: facts.Now, Nearest: name + "s"}
		}
		_, findings := keyVault(t, podWith(nil, corev1.EnvVar{Name: "A", Value: fmt.Sprintf("@Microsoft.KeyVault(VaultName=shop;SecretName=%s)", name)}), spec, facts)
		if len(findings) != 1 || findings[0].Level != policy.Warn {
			t.Fatalf("got %v", findings)
		}
		warning := findings[0].Warning()
		if len([]rune(warning)) > 256 || fits != strings.Contains(warning, "did you mean "+name+"s?") {
			t.Errorf("%d characters: %s", len(warning), warning)
		}
	}
}
