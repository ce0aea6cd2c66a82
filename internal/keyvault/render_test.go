package keyvault_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"

	"twelvefold.dev/internal/keyvault"
)

func TestRenderSecret(t *testing.T) {
	const mapping = "user: shop\nport: 5432\ntls: yes\nratio: 1.50\nnothing: ~\nlist: [a]\nbase: &b \"s3\\ncret\"\nsame: *b\n\"a.b\": dotted\n"
	const object = `{"user": "sh\/op", "port": 5432, "ratio": 1.50, "tls": true, "nothing": null, "list": ["a"], "nested": {"user": "x"}}`
	for name, tc := range map[string]struct {
		text string
		ref  keyvault.Reference
		want string // or with ! an error that says so
	}{
		"text":              {"päss\x00\r\n", keyvault.Reference{}, "päss\x00\r\n"},
		"empty":             {"", keyvault.Reference{}, ""},
		"pfx of no cert":    {"as it is", keyvault.Reference{Format: keyvault.PFX}, "as it is"},
		"hex":               {"00fF\n", keyvault.Reference{Encoding: keyvault.Hex}, "\x00\xff"},
		"base64":            {" aGVs\nbG8=\n", keyvault.Reference{Encoding: keyvault.Base64}, "hello"},
		"not hex":           {"s3cret", keyvault.Reference{Encoding: keyvault.Hex}, "!is not hex; correct the secret, or leave out the encoding"},
		"not base64":        {"s3cret!", keyvault.Reference{Encoding: keyvault.Base64}, "!is not base64"},
		"JSON text":         {object, keyvault.Reference{Field: "user"}, "sh/op"},
		"JSON number":       {object, keyvault.Reference{Field: "ratio"}, "1.50"},
		"JSON boolean":      {object, keyvault.Reference{Field: "tls"}, "true"},
		"JSON null":         {object, keyvault.Reference{Field: "nothing"}, `!field "nothing" is no text`},
		"JSON list":         {object, keyvault.Reference{Field: "list"}, `!field "list" is no text`},
		"JSON, not there":   {object, keyvault.Reference{Field: "absent"}, `!no field "absent"`},
		"YAML text":         {mapping, keyvault.Reference{Field: "user"}, "shop"},
		"YAML number":       {mapping, keyvault.Reference{Field: "ratio"}, "1.50"},
		"YAML boolean":      {mapping, keyvault.Reference{Field: "tls"}, "yes"},
		"YAML null":         {mapping, keyvault.Reference{Field: "nothing"}, `!field "nothing" is no text`},
		"YAML list":         {mapping, keyvault.Reference{Field: "list"}, `!field "list" is no text`},
		"YAML alias":        {mapping, keyvault.Reference{Field: "same"}, "s3\ncret"},
		"YAML, not there":   {mapping, keyvault.Reference{Field: "absent"}, `!no field "absent"`},
		"a dot is no path":  {mapping, keyvault.Reference{Field: "a.b"}, "dotted"},
		"field then base64": {`{"key": "aGk="}`, keyvault.Reference{Field: "key", Encoding: keyvault.Base64}, "hi"},
		"no mapping":        {"s3cret", keyvault.Reference{Field: "user"}, "!no JSON or YAML mapping"},
		"broken":            {`{"user": s3cret`, keyvault.Reference{Field: "user"}, "!no JSON or YAML mapping"},
		"JSON list as such": {`["s3cret"]`, keyvault.Reference{Field: "user"}, "!no JSON or YAML mapping"},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, keyvault.Content{Text: tc.text, ContentType: "text/plain"}, tc.ref, tc.want)
		})
	}
}

// check renders, and compares: with want, or with ! an error that says so and holds nothing of the content.
func check(t *testing.T, c keyvault.Content, r keyvault.Reference, want string) {
	t.Helper()
	got, err := c.Render(r)
	wrong, fails := strings.CutPrefix(want, "!")
	switch {
	case !fails && (err != nil || string(got) != want):
		t.Errorf("got %q, %v; want %q", got, err, want)
	case fails && (err == nil || !strings.Contains(err.Error(), wrong) || strings.Contains(err.Error(), "s3cret")):
		t.Errorf("got %q, %v; want an error: %s", got, err, wrong)
	}
}

func TestRenderCertificate(t *testing.T) {
	c := sign(t, "shop", newKey(t), false, nil)
	content := keyvault.Content{DER: c.Raw}
	check(t, content, keyvault.Reference{Type: keyvault.CertificateType}, pemOf(c))
	check(t, content, keyvault.Reference{Type: keyvault.CertificateType, Format: keyvault.DER}, string(c.Raw))
}

func TestRenderKey(t *testing.T) {
	private := newRSA(t)
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	text, err := keyvault.Content{DER: der}.Render(keyvault.Reference{Type: keyvault.KeyType})
	block, _ := pem.Decode(text)
	if err != nil || block == nil || block.Type != "PUBLIC KEY" {
		t.Fatalf("got %s, %v", text, err)
	}
	if read, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil || !private.PublicKey.Equal(read.(*rsa.PublicKey)) {
		t.Errorf("another key: %v", err)
	}
	modulus := keyvault.Reference{Type: keyvault.KeyType, Format: keyvault.Modulus}
	check(t, keyvault.Content{DER: der}, modulus, base64.RawURLEncoding.EncodeToString(private.N.Bytes()))

	der, err = x509.MarshalPKIXPublicKey(newKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	check(t, keyvault.Content{DER: der}, modulus, "!only an RSA key has a modulus")
}

func TestRenderSecretOfCertificate(t *testing.T) {
	root := sign(t, "root", newKey(t), true, nil)
	middle := sign(t, "middle", newKey(t), true, root)
	server := sign(t, "server", newKey(t), false, middle)
	serverRSA := sign(t, "server", newRSA(t), false, middle)
	pfx := pfxOf(t, "", server.key, server, root, middle)
	raw, err := base64.StdEncoding.DecodeString(pfx)
	if err != nil {
		t.Fatal(err)
	}
	chain := join(server, middle, root)
	key := pemOfKey(t, server.key)
	for name, tc := range map[string]struct {
		kind, text string
		ref        keyvault.Reference
		want       string
	}{
		"pfx as PEM":         {"application/x-pkcs12", pfx, keyvault.Reference{}, key + chain},
		"RSA":                {"application/x-pkcs12", pfxOf(t, "", serverRSA.key, serverRSA), keyvault.Reference{}, pemOfKey(t, serverRSA.key) + pemOf(serverRSA)},
		"key not with first": {"application/x-pkcs12", pfxOf(t, "", server.key, root, middle, server), keyvault.Reference{}, key + chain},
		"pfx as pfx":         {"application/x-pkcs12", pfx, keyvault.Reference{Format: keyvault.PFX}, pfx},
		"pfx as bytes":       {"Application/X-PKCS12", pfx, keyvault.Reference{Format: keyvault.PFX, Encoding: keyvault.Base64}, string(raw)},
		"pfx with password":  {"application/x-pkcs12", pfxOf(t, "hush", server.key, server), keyvault.Reference{}, "!has a password"},
		"no pfx":             {"application/x-pkcs12", "czNjcmV0", keyvault.Reference{}, "!not one private key with certificates"},
		"no base64":          {"application/x-pkcs12", "s3cret!", keyvault.Reference{}, "!is not base64"},
		"PEM in order":       {"application/x-pem-file", "# ours\n" + key + chain, keyvault.Reference{}, "# ours\n" + key + chain},
		"PEM in disorder":    {"application/x-pem-file", join(root, server) + key + join(middle), keyvault.Reference{}, key + chain},
		"PEM as pfx":         {"application/x-pem-file", join(root, server) + key, keyvault.Reference{Format: keyvault.PFX}, join(root, server) + key},
		"no PEM":             {"application/x-pem-file", "s3cret", keyvault.Reference{}, "s3cret"},
		"PEM as base64":      {"application/x-pem-file", key + chain, keyvault.Reference{Encoding: keyvault.Base64}, "!has no encoding"},
		"other content":      {"text/plain; s3cret", key + chain, keyvault.Reference{}, "!neither application/x-pkcs12 nor application/x-pem-file"},
		"field":              {"application/x-pem-file", key + chain, keyvault.Reference{Field: "a"}, "!has no fields"},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, keyvault.Content{Text: tc.text, ContentType: tc.kind, Certificate: true}, tc.ref, tc.want)
		})
	}
	// A content type alone makes no certificate of what somebody set.
	check(t, keyvault.Content{Text: pfx, ContentType: "application/x-pkcs12"}, keyvault.Reference{}, pfx)
}

func FuzzRender(f *testing.F) {
	c := sign(f, "server", newKey(f), false, nil)
	der, err := x509.MarshalPKIXPublicKey(c.key.Public())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pfxOf(f, "", c.key, c), "application/x-pkcs12", true, "", "", "", "")
	f.Add(pemOfKey(f, c.key)+join(c, c), "application/x-pem-file", true, "", "", "", "")
	f.Add(`{"a": "b"}`, "", false, "", "", "hex", "a")
	f.Add("a: &x [*x]\nb: *x", "", false, "", "", "base64", "b")
	f.Add(string(c.Raw), "", false, "cert", "der", "", "")
	f.Add(string(der), "", false, "key", "modulus", "", "")
	f.Fuzz(func(t *testing.T, text, contentType string, certificate bool, kind, format, encoding, field string) {
		content := keyvault.Content{Text: text, ContentType: contentType, Certificate: certificate, DER: []byte(text)}
		_, err := content.Render(keyvault.Reference{
			Type: keyvault.Type(kind), Format: keyvault.Format(format), Encoding: keyvault.Encoding(encoding), Field: field,
		})
		const tooCommon = 12 // texts so short may stand in a message by chance
		if err != nil && len(text) > tooCommon && !strings.Contains(field, text) && strings.Contains(err.Error(), text) {
			t.Errorf("the error holds the content: %v", err)
		}
	})
}
