package keyvault_test

import (
	"cmp"
	"fmt"
	"strings"
	"testing"

	"twelvefold.dev/internal/keyvault"
)

const version = "0123456789abcdef0123456789abcdef"

func TestHost(t *testing.T) {
	china := keyvault.Hosts{Cloud: "china", Suffixes: []string{".Vault.Contoso.example", ""}}
	for _, tc := range []struct {
		hosts keyvault.Hosts
		vault string
		want  string // empty: refused
	}{
		{keyvault.Hosts{}, "shop", "shop.vault.azure.net"},
		{keyvault.Hosts{}, " Shop-2 ", "shop-2.vault.azure.net"},
		{keyvault.Hosts{Cloud: "usgov"}, "shop", "shop.vault.usgovcloudapi.net"},
		{china, "shop", "shop.vault.azure.cn"},
		{china, "shop.vault.azure.net", "shop.vault.azure.net"},
		{china, "https://shop.vault.contoso.example/", "shop.vault.contoso.example"},
		{keyvault.Hosts{}, "shop.vault.contoso.example", ""},
		{keyvault.Hosts{}, "a.shop.vault.azure.net", ""},
		{keyvault.Hosts{}, "shop.vault.azure.net.", ""},
		{keyvault.Hosts{}, "shop.vault.azure.net:443", ""},
		{keyvault.Hosts{}, "shop.", ""},
		{keyvault.Hosts{}, "http://shop.vault.azure.net", ""},
		{keyvault.Hosts{}, "abc", "abc.vault.azure.net"},
		{keyvault.Hosts{}, "ab", ""},
		{keyvault.Hosts{}, strings.Repeat("a", 24), strings.Repeat("a", 24) + ".vault.azure.net"},
		{keyvault.Hosts{}, strings.Repeat("a", 25), ""},
		{keyvault.Hosts{}, "1shop", ""},
		{keyvault.Hosts{}, "shop-", ""},
		{keyvault.Hosts{}, "sh--op", ""},
		{keyvault.Hosts{}, "", ""},
	} {
		if got, err := tc.hosts.Host(tc.vault); got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%q in %q: %q, %v; want %q", tc.vault, tc.hosts.Cloud, got, err, tc.want)
		}
	}
}

func TestParse(t *testing.T) {
	secret := keyvault.Reference{Vault: "shop.vault.azure.net", Name: "db-password"}
	pinned, optional := secret, secret
	pinned.Version, optional.Optional = version, true
	for text, want := range map[string]keyvault.Reference{
		"db-password":                                                                                      secret,
		" db-password?Optional ":                                                                           optional,
		"db-password/" + strings.ToUpper(version):                                                          pinned,
		"https://shop.vault.azure.net/secrets/db-password":                                                 secret,
		"HTTPS://Shop.Vault.Azure.Net/Secrets/db-password/":                                                secret,
		"https://shop.vault.azure.net/secrets/db-password?optional":                                        optional,
		"https://shop.vault.azure.net/secrets/db-password/" + version:                                      pinned,
		"@Microsoft.KeyVault(VaultName=shop;SecretName=db-password)":                                       secret,
		"@MICROSOFT.keyvault( secretname = db-password ;; VAULTNAME=shop ; optional = True; )":             optional,
		"@Microsoft.KeyVault(VaultName=shop;SecretName=db-password;Optional=false)":                        secret,
		"@Microsoft.KeyVault(SecretUri=https://shop.vault.azure.net/secrets/db-password/" + version + "/)": pinned,
	} {
		if got, err := (keyvault.Hosts{}).Parse(text, "shop.vault.azure.net"); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "a/", "a/b", "a?b", "a?optional?optional", "a b", "a\nb", "..", "a/../b", "%2e%2e", "ä", "$(X)", strings.Repeat("a", 128), strings.Repeat("a", 1<<20),
		"http://shop.vault.azure.net/secrets/a", "https://shop.vault.azure.net/secrets", "https://shop.vault.azure.net/secrets/", "https:///secrets/a",
		"https://shop.vault.azure.net/storage/a", "https://shop/secrets/a", "https://shop.vault.azure.net/secrets/a/" + version + "/x",
		"https://shop.vault.azure.net//secrets/a", "https://shop.vault.azure.net/secrets/a#x", "https://x@shop.vault.azure.net/secrets/a",
		"@Microsoft.KeyVault(SecretUri=https://shop.vault.azure.net/certificates/a)", "@Microsoft.KeyVault(SecretUri=https://shop.vault.azure.net/keys/a)",
		"@Microsoft.KeyVault()", "@Microsoft.KeyVault(VaultName=shop)", "@Microsoft.KeyVault(SecretName=a)", "@Microsoft.KeyVault(VaultName=shop;SecretName=a",
		"@Microsoft.KeyVault(VaultName=shop;SecretName=a))", "@Microsoft.KeyVault(VaultName=shop;SecretName=a;Optional=1)",
		"@Microsoft.KeyVault(https://shop.vault.azure.net/secrets/a)", "@Microsoft.KeyVault(SecretUri=https://shop.vault.azure.net/secrets/a;SecretName=b)",
	} {
		if got, err := (keyvault.Hosts{}).Parse(text, "shop.vault.azure.net"); err == nil {
			t.Errorf("%.80q is accepted: %+v", text, got)
		}
	}
	if _, err := (keyvault.Hosts{}).Parse("a", ""); err == nil || !strings.Contains(err.Error(), "no vault") {
		t.Errorf("a name without a vault: %v", err)
	}
}

// What was written in the place of a reference by mistake may be a secret.
func TestErrorsShowNoText(t *testing.T) {
	for _, text := range []string{"hunter2!", "https://hunter2", "@Microsoft.KeyVault(hunter2)", "@Microsoft.KeyVault(VaultName=hunter2!;SecretName=hunter2_)", "a/hunter2", "a?hunter2", "a?hunter2=1", "a?type=hunter2",
		"a?mode=hunter2", "a?field=hunter2\x01", "https://shop.vault.azure.net/keys/a?type=secret&hunter2"} {
		if _, err := (keyvault.Hosts{}).Parse(text, "shop.vault.azure.net"); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestForeign(t *testing.T) {
	for text, want := range map[string]bool{
		"db-password@azurekeyvault": false, "db.password@azurekeyvault?v=1": false, "azure:keyvault:db-password": false, // are ours
		"vault:secret/data/shop#password": true, ">>vault:secret/data/shop#password#1": true, "bao:kv/x#y": true,
		"op://vault/item/field": true, "gcp:secretmanager:x": true, "arn:aws:secretsmanager:eu-west-1:1:secret:x": true,
		"vault:8200": false, "ops@azurekeyvault.example": false, "": false, "azure:keyvault:": false, "a@b": false,
	} {
		if got := keyvault.Foreign(text); (got != "") != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// Whatever is accepted is a good plan's, and Parse reads its own spelling back.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"db-password/" + version, "a?optional", "https://shop.vault.azure.net/secrets/a/", "@microsoft.keyvault( secretname = a ; VAULTNAME = Shop )",
		"a?type=cert&format=der&mode=0400", "https://shop.vault.azure.net/keys/a?format=modulus", "a?field=x=y&encoding=hex&optional=false", "a?format=private-key",
		"@Microsoft.KeyVault(SecretUri=https://shop.vault.azure.net/secrets/a;Optional=true)", "@Microsoft.KeyVault(VaultName=..;SecretName=%2f\n)",
	} {
		f.Add(text, "public", "vault.contoso.example")
	}
	f.Fuzz(func(t *testing.T, text, cloud, suffix string) {
		hosts := keyvault.Hosts{Cloud: cloud}
		if suffix == "vault.contoso.example" {
			hosts.Suffixes = []string{suffix}
		}
		secret, err := hosts.Parse(text, "shop.vault.azure.net")
		if err != nil {
			return
		}
		plan := keyvault.Plan{Env: []keyvault.EnvItem{{Key: "K0", EnvName: "A", Reference: secret}}}
		if err := plan.Validate(); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		again, err := hosts.Parse(written(secret), "")
		if err != nil || again != secret {
			t.Errorf("%q: %+v is read back as %+v, %v", text, secret, again, err)
		}
	})
}

// written is a reference as the URL of its object with a query.
func written(r keyvault.Reference) string {
	collection := map[keyvault.Type]string{keyvault.CertificateType: "certificates", keyvault.KeyType: "keys"}[r.Type]
	query := fmt.Sprintf("optional=%v&encoding=%s&format=%s", r.Optional, cmp.Or(string(r.Encoding), "utf-8"), cmp.Or(string(r.Format), "pem"))
	if r.Field != "" {
		query += "&field=" + r.Field
	}
	if r.Mode != 0 {
		query += fmt.Sprintf("&mode=%04o", r.Mode)
	}
	return "https://" + r.Vault + "/" + cmp.Or(collection, "secrets") + "/" + r.Name + "/" + r.Version + "?" + query
}
