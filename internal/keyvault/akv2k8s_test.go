package keyvault_test

import (
	"strings"
	"testing"

	"twelvefold.dev/internal/keyvault"
)

func TestAkv2k8s(t *testing.T) {
	for text, want := range map[string][2]string{
		"db-password@azurekeyvault":          {"db-password", ""},
		" db.password@azurekeyvault?tls.key": {"db.password", "tls.key"},
		"a@azurekeyvault?":                   {"a", ""},
		"a@azurekeyvault?my key\n":           {"a", "my key"},
	} {
		if name, query, is := keyvault.Akv2k8s(text); !is || name != want[0] || query != want[1] {
			t.Errorf("%q: %q %q %v", text, name, query, is)
		}
	}
	for _, text := range []string{
		"", "@azurekeyvault", "ops@azurekeyvault.example", "ops@azure.example", "mail ops@azurekeyvault", "Ops@azurekeyvault", "-a@azurekeyvault", "a-@azurekeyvault",
		"a@azurekeyvaults", "a@azurekeyvault:5000/x", "a@azurekeyvault/x", "a@azurekeyvault?a\nb", strings.Repeat("a", 254) + "@azurekeyvault", "a@azurekeyvault?" + strings.Repeat("a", 2000),
	} {
		if _, _, is := keyvault.Akv2k8s(text); is {
			t.Errorf("%q looks like a reference", text)
		}
	}
}

func keyVaultSecret(object, rest string) string {
	return `{"apiVersion": "spv.no/v2beta1", "kind": "AzureKeyVaultSecret", "metadata": {"name": "x"}, "spec": {"vault": {"name": "shop", "object": ` + object + `}` + rest + `}}`
}

func TestParseKeyVaultSecret(t *testing.T) {
	const certificate, secret, multi = `{"type": "certificate", "name": "a"}`, `{"type": "secret", "name": "a"}`, `{"type": "multi-key-value-secret", "name": "a", "contentType": "application/x-json"}`
	for _, tc := range []struct {
		object, query string
		want          keyvault.Reference
	}{
		{keyVaultSecret(secret, ""), "", keyvault.Reference{}},
		{keyVaultSecret(`{"type": "secret", "name": "a", "version": "`+version+`"}`, ""), "", keyvault.Reference{Version: version}},
		{keyVaultSecret(secret, `, "output": {"secret": {"name": "x", "chainOrder": "ensureserverfirst"}}`), "", keyvault.Reference{}},
		{keyVaultSecret(secret, ""), "username", keyvault.Reference{Format: keyvault.Username}},
		{keyVaultSecret(secret, ""), "password", keyvault.Reference{Format: keyvault.Password}},
		{keyVaultSecret(certificate, ""), "", keyvault.Reference{Type: keyvault.CertificateType}},
		{keyVaultSecret(certificate, ""), "tls.crt", keyvault.Reference{Type: keyvault.CertificateType}},
		{keyVaultSecret(certificate, ""), "tls.key", keyvault.Reference{Format: keyvault.PrivateKey}},
		{keyVaultSecret(certificate, ""), "raw", keyvault.Reference{Type: keyvault.CertificateType, Format: keyvault.DER}},
		{keyVaultSecret(`{"type": "key", "name": "a"}`, ""), "", keyvault.Reference{Type: keyvault.KeyType, Format: keyvault.Modulus}},
		{keyVaultSecret(multi, ""), "my.key", keyvault.Reference{Field: "my.key"}},
		{keyVaultSecret(strings.Replace(multi, "json", "yaml", 1), ""), "username", keyvault.Reference{Field: "username"}},
	} {
		tc.want.Vault, tc.want.Name = "shop.vault.azure.net", "a"
		if got, _, err := (keyvault.Hosts{}).ParseKeyVaultSecret([]byte(tc.object), tc.query); err != nil || got != tc.want {
			t.Errorf("%s?%s: %+v, %v; want %+v", tc.object, tc.query, got, err, tc.want)
		}
	}
	for _, tc := range []struct{ object, query, want string }{
		{"", "", "definition"},
		{"[]", "", "definition"},
		{`{"spec": {"vault": "shop"}}`, "", "definition"},
		{"{}", "", "vault's name"},
		{keyVaultSecret(`{"type": "secret", "name": "../keys/a"}`, ""), "", "secret's name"},
		{keyVaultSecret(`{"type": "secret", "name": "a", "version": "latest"}`, ""), "", "32 hex digits"},
		{keyVaultSecret(`{"type": "storage", "name": "a"}`, ""), "", "type must be"},
		{keyVaultSecret(secret, `, "output": {"transform": ["trim"]}`), "", "transform is not supported"},
		{keyVaultSecret(secret, ""), "tls.key", "username or password"},
		{keyVaultSecret(certificate, ""), "username", "tls.crt, tls.key or raw"},
		{keyVaultSecret(`{"type": "key", "name": "a"}`, ""), "n", "of a key"},
		{keyVaultSecret(multi, ""), "", "one key must be named"},
		{keyVaultSecret(`{"type": "multi-key-value-secret", "name": "a"}`, ""), "x", "contentType"},
	} {
		if got, _, err := (keyvault.Hosts{}).ParseKeyVaultSecret([]byte(tc.object), tc.query); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s?%s: %+v, %v; want %q", tc.object, tc.query, got, err, tc.want)
		}
	}
}

// A policy's table gives an object, and the query asks for a part of it.
func TestTableQuery(t *testing.T) {
	for _, tc := range []struct{ listed, query, want string }{
		{"a", "", "a"}, {"a?field=x", "", "a?field=x"}, {"a", "x.y", "a?field=x.y"}, {"a?type=cert", "", "a?type=cert"},
		{"a?type=cert", "tls.crt", "a?type=cert"}, {"a?type=cert&optional", "tls.key", "a?format=private-key&optional"}, {"a?type=cert", "raw", "a?type=cert&format=der"},
		{"a?type=cert", "x", ""}, {"a?type=key", "x", ""}, {"a?field=x", "y", ""}, {"a?format=pfx", "x", ""}, {"a", "x\x01", ""},
	} {
		listed, err := keyvault.Hosts{}.Parse(tc.listed, "shop")
		if err != nil {
			t.Fatal(err)
		}
		want, _ := keyvault.Hosts{}.Parse(tc.want, "shop")
		if got, err := listed.Query(tc.query); got != want || (err == nil) != (tc.want != "") {
			t.Errorf("%s, %s: %+v, %v; want %s", tc.listed, tc.query, got, err, tc.want)
		}
	}
}

// Whatever stands in an object and in a query, the agent takes what comes of it.
func FuzzKeyVaultSecret(f *testing.F) {
	f.Add(`a@azurekeyvault?tls.key`, keyVaultSecret(`{"type": "certificate", "name": "a"}`, ""), "a?type=cert")
	f.Add(`a@azurekeyvault?x`, keyVaultSecret(`{"type": "multi-key-value-secret", "name": "a", "contentType": "application/x-yaml"}`, `, "output": {"transform": []}`), "a")
	f.Add(`a@azurekeyvault?username`, keyVaultSecret(`{"type": "secret", "name": "a", "version": "`+version+`"}`, ""), "a?field=x")
	f.Add(`a@azurekeyvault`, `{"spec": {"vault": {"name": "https://shop.vault.azure.net", "azureIdentity": "x", "object": {"type": "key", "name": "%2e"}}}}`, "a?type=key")
	f.Fuzz(func(t *testing.T, text, object, listed string) {
		_, query, is := keyvault.Akv2k8s(text)
		if !is {
			return
		}
		check := func(ref keyvault.Reference, err error) {
			plan := keyvault.Plan{Env: []keyvault.EnvItem{{Key: "K0", EnvName: "A", Reference: ref}}}
			if err == nil && plan.Validate() != nil {
				t.Errorf("%q: %v", text, plan.Validate())
			}
		}
		ref, _, err := keyvault.Hosts{}.ParseKeyVaultSecret([]byte(object), query)
		check(ref, err)
		if ref, err = (keyvault.Hosts{}).Parse(listed, "shop"); err == nil {
			check(ref.Query(query))
		}
	})
}
