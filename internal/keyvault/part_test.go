package keyvault_test

import (
	"crypto/x509"
	"encoding/pem"
	"testing"

	"twelvefold.dev/internal/keyvault"
)

func TestRenderPrivateKey(t *testing.T) {
	server := sign(t, "server", newKey(t), false, nil)
	key := pemOfKey(t, server.key)
	sec1, err := x509.MarshalECPrivateKey(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	older := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}))
	ref := keyvault.Reference{Format: keyvault.PrivateKey}
	for name, tc := range map[string]struct {
		content keyvault.Content
		want    string
	}{
		"pfx":                  {keyvault.Content{Text: pfxOf(t, "", server.key, server), ContentType: "application/x-pkcs12", Certificate: true}, key},
		"PEM":                  {keyvault.Content{Text: pemOf(server) + key, ContentType: "application/x-pem-file", Certificate: true}, key},
		"key without exports":  {keyvault.Content{Text: pemOf(server), ContentType: "application/x-pem-file", Certificate: true}, "!holds no private key"},
		"no PEM":               {keyvault.Content{Text: "s3cret", ContentType: "application/x-pem-file", Certificate: true}, "!holds no private key"},
		"pfx with password":    {keyvault.Content{Text: pfxOf(t, "hush", server.key, server), ContentType: "application/x-pkcs12", Certificate: true}, "!has a password"},
		"PEM that someone set": {keyvault.Content{Text: pemOf(server) + older}, older},
		"text":                 {keyvault.Content{Text: "s3cret"}, "!holds no private key"},
	} {
		t.Run(name, func(t *testing.T) { check(t, tc.content, ref, tc.want) })
	}
}

func TestRenderBasicAuth(t *testing.T) {
	username, password := keyvault.Reference{Format: keyvault.Username}, keyvault.Reference{Format: keyvault.Password}
	for text, want := range map[string][2]string{
		"api:s3cret":   {"api", "s3cret"},
		":":            {"", ""},
		"s3cret":       {"!not USERNAME:PASSWORD", "!not USERNAME:PASSWORD"},
		"api:s3cret:1": {"!not USERNAME:PASSWORD", "!not USERNAME:PASSWORD"},
	} {
		check(t, keyvault.Content{Text: text}, username, want[0])
		check(t, keyvault.Content{Text: text}, password, want[1])
	}
}
