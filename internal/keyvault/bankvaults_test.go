package keyvault_test

import (
	"strings"
	"testing"

	"twelvefold.dev/internal/keyvault"
)

func TestBankVaults(t *testing.T) {
	secret := keyvault.Reference{Vault: "shop.vault.azure.net", Name: "db-password"}
	pinned := secret
	pinned.Version = version
	for text, want := range map[string]keyvault.Reference{
		"azure:keyvault:db-password":            secret,
		" azure:keyvault:db-password\n":         secret,
		"azure:keyvault:db-password/" + version: pinned,
	} {
		if got, err := (keyvault.Hosts{}).ParseBankVaults(text, "shop"); !keyvault.IsBankVaults(text) || err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"azure:keyvault:a_b", "azure:keyvault:a/", "azure:keyvault:a/latest", "azure:keyvault:a/b/c", "azure:keyvault:a?optional", "azure:keyvault:../a"} {
		if got, err := (keyvault.Hosts{}).ParseBankVaults(text, "shop"); !keyvault.IsBankVaults(text) || err == nil {
			t.Errorf("%q is accepted: %+v", text, got)
		}
	}
	for _, text := range []string{"", "azure:keyvault:", "azure:keyvault: see the docs", "azure:keyvault:a b", "x azure:keyvault:a", "xazure:keyvault:a", "azure:keyvaults:a", "azure:keyvault:" + strings.Repeat("a", 2000)} {
		if keyvault.IsBankVaults(text) {
			t.Errorf("%q looks like a reference", text)
		}
	}
	if _, err := (keyvault.Hosts{}).ParseBankVaults("azure:keyvault:a", ""); err == nil || !strings.Contains(err.Error(), "no vault") {
		t.Errorf("without a vault: %v", err)
	}
}

func FuzzBankVaults(f *testing.F) {
	for _, text := range []string{"azure:keyvault:a", " azure:keyvault:a/" + version + "\t", "azure:keyvault:", "azure:keyvault:a?b", "azure:keyvault:a/b/c"} {
		f.Add(text, "shop")
	}
	f.Add("azure:keyvault:a", "https://shop.vault.azure.net/")
	f.Fuzz(func(t *testing.T, text, vault string) {
		ref, err := keyvault.Hosts{}.ParseBankVaults(text, vault)
		if err != nil {
			return
		}
		plan := keyvault.Plan{Env: []keyvault.EnvItem{{Key: "K0", EnvName: "A", Reference: ref}}}
		if err := plan.Validate(); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}
