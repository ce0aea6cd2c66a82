package keyvault_test

import (
	"strings"
	"testing"

	"twelvefold.dev/internal/keyvault"
)

func TestQuery(t *testing.T) {
	const url = "https://shop.vault.azure.net"
	for text, want := range map[string]keyvault.Reference{
		"a?optional=true":                      {Optional: true},
		"a?optional=false":                     {},
		"a?type=secret":                        {},
		"a?type=cert":                          {Type: keyvault.CertificateType},
		"a?type=key&format=pem":                {Type: keyvault.KeyType},
		"a?type=key&format=modulus":            {Type: keyvault.KeyType, Format: keyvault.Modulus},
		"a?format=der&type=cert":               {Type: keyvault.CertificateType, Format: keyvault.DER},
		"a?format=pfx&encoding=base64":         {Format: keyvault.PFX, Encoding: keyvault.Base64},
		"a?encoding=utf-8&OPTIONAL":            {Optional: true},
		"a?encoding=hex&mode=0400":             {Encoding: keyvault.Hex, Mode: 0o400},
		"a?mode=640":                           {Mode: 0o640},
		"a?field=spring.datasource.password=x": {Field: "spring.datasource.password=x"},
		"a?format=private-key&mode=0440":       {Format: keyvault.PrivateKey, Mode: 0o440},
		url + "/certificates/a":                {Type: keyvault.CertificateType},
		url + "/Keys/a/?optional":              {Type: keyvault.KeyType, Optional: true},
		url + "/keys/a?type=key":               {Type: keyvault.KeyType},
	} {
		want.Vault, want.Name = "shop.vault.azure.net", "a"
		if got, err := (keyvault.Hosts{}).Parse(text, "shop.vault.azure.net"); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"a?":                                "after ? may stand",
		"a?optional&":                       "after ? may stand",
		"a?optional=1":                      "after ? may stand",
		"a?optional&Optional":               "given twice",
		"a?optional&optional=true":          "given twice",
		"a?mode=0400&mode=0400":             "given twice",
		"a?Type=cert":                       "after ? may stand",
		"a?type=certificate":                "after ? may stand",
		"a?type":                            "after ? may stand",
		"a?colour=red":                      "after ? may stand",
		"a?format=jks":                      "after ? may stand",
		"a?encoding=base32":                 "after ? may stand",
		"a?mode=0900":                       "octal",
		"a?mode=4755":                       "octal",
		"a?mode=0000":                       "octal",
		"a?mode=-400":                       "octal",
		"a?mode=":                           "octal",
		"a?field=":                          "field",
		"a?field=a\x00b":                    "field",
		"a?type=cert&format=pfx":            "only the secret of a certificate",
		"a?format=der":                      "only a certificate",
		"a?type=key&encoding=hex":           "only a secret has an encoding",
		"a?type=cert&field=x":               "only a secret has fields",
		"a?type=cert&format=private-key":    "only a secret can be written as its private-key",
		"a?format=password&field=x":         "without encoding and field",
		url + "/certificates/a?type=secret": "another type",
		url + "/secrets/a?type=key":         "another type",
	} {
		if got, err := (keyvault.Hosts{}).Parse(text, "shop.vault.azure.net"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %q", text, got, err, want)
		}
	}
}

func TestEnvProblem(t *testing.T) {
	for text, want := range map[string]string{
		"a": "", "a?type=cert": "", "a?format=pfx": "", "a?field=x&optional": "", "a?type=key&format=modulus": "", "a?format=private-key": "",
		"a?mode=0400": "mode", "a?type=cert&format=der": "bytes", "a?encoding=hex": "bytes", "a?format=pfx&encoding=base64": "bytes",
	} {
		ref, err := keyvault.Hosts{}.Parse(text, "shop")
		if got := ref.EnvProblem(); err != nil || (got != "") != (want != "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}
