package server

import (
	"log/slog"
	"slices"
	"testing"

	"twelvefold.dev/internal/keyvault/azure"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
)

func parsed(t *testing.T, spec string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte("apiVersion: "+policy.APIVersion+"\nkind: "+policy.Kind+"\nspec: "+spec+"\n"), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAzureIdentity(t *testing.T) {
	for _, test := range []struct {
		Options
		want string
	}{
		{Options{}, "none"},
		{Options{AzureClientID: "c", AzureTenantID: "t", AzureTokenFile: "f"}, "access"},
		{Options{AzureClientID: "c", AzureTenantID: "t"}, "error"},
		{Options{AzureTokenFile: "f"}, "error"},
	} {
		access, err := newAzureAccess(test.Options, nil, slog.New(slog.DiscardHandler))
		got := "none"
		if access != nil {
			got = "access"
		}
		if err != nil {
			got = "error"
		}
		if got != test.want {
			t.Errorf("%+v: %s, want %s", test.Options, got, test.want)
		}
	}
}

// There is one client, until the policy tells another way to Azure.
func TestAzureClientFollowsThePolicy(t *testing.T) {
	inForce := parsed(t, "{}")
	access, err := newAzureAccess(Options{AzureClientID: "c", AzureTenantID: "t", AzureTokenFile: "f"},
		func() *policy.Policy { return inForce }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var before *azure.Client
	authority := ""
	for _, step := range []struct {
		spec    string
		changed bool
	}{
		{"{}", true},
		{"{profile: strict, keyVault: {vaults: [{name: shop}]}}", false},
		{"{keyVault: {proxy: 'http://proxy.test:3128'}}", true},
		{"{keyVault: {proxy: 'http://proxy.test:3128', authorityHost: 'https://login.test/'}}", true},
		{"{keyVault: {cloud: china}}", true},
		{"{keyVault: {cloud: china, verify: deny}}", false},
	} {
		inForce = parsed(t, step.spec)
		client, err := access.Client()
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := access.Client(); again != client {
			t.Errorf("%s: a second client", step.spec)
		}
		if changed := client != before; changed != step.changed {
			t.Errorf("%s: another client %t, want %t", step.spec, changed, step.changed)
		}
		before, authority = client, client.Identity.AuthorityHost
	}
	if authority != "https://login.chinacloudapi.cn/" {
		t.Errorf("authority %q", authority)
	}
}

func TestVerifiedVaults(t *testing.T) {
	for spec, want := range map[string][]string{
		"{}": nil,
		"{keyVault: {cloud: china, vaults: [{name: shop}, {name: pay.vault.azure.net}]}}": {"shop.vault.azure.cn", "pay.vault.azure.net"},
		"{keyVault: {verify: off, vaults: [{name: shop}]}}":                               nil,
	} {
		if got := verifiedVaults(parsed(t, spec)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", spec, got, want)
		}
	}
}
