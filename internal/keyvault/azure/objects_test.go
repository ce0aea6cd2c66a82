package azure_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/azure"
)

func (w *world) setCertificate(t testing.TB, c emulator.Certificate) (version string) {
	t.Helper()
	version, err := w.SetCertificate(shop, c)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func (w *world) setKey(t testing.TB, k emulator.Key) (version string) {
	t.Helper()
	version, err := w.SetKey(shop, k)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func TestFetchAllTypes(t *testing.T) {
	w := start(t, emulator.CertificateUser)
	old := w.setCertificate(t, emulator.Certificate{Name: "tls", KeyType: "EC"})
	version := w.setCertificate(t, emulator.Certificate{Name: "tls", KeyType: "EC", Intermediate: true})
	pemVersion := w.setCertificate(t, emulator.Certificate{Name: "pem", KeyType: "EC", ContentType: "application/x-pem-file"})
	rsa := w.setKey(t, emulator.Key{Name: "rsa"})
	ec := w.setKey(t, emulator.Key{Name: "ec", KeyType: "EC"})
	plain := w.set(t, emulator.Secret{Name: "plain", Value: "v", ContentType: "text/plain"})

	of := func(kind keyvault.Type, name, version string) keyvault.Reference {
		return keyvault.Reference{Vault: shop, Type: kind, Name: name, Version: version}
	}
	references := []keyvault.Reference{
		of("", "tls", ""), of("cert", "tls", ""), of("cert", "tls", old), of("key", "tls", ""),
		of("", "pem", ""), of("key", "rsa", ""), of("key", "ec", ec), of("", "plain", ""),
	}
	c := w.client(t, nil)
	contents, err := c.Fetch(t.Context(), references)
	if err != nil {
		t.Fatal(err)
	}
	kind := map[string]int{}
	for i, want := range []string{version, version, old, version, pemVersion, rsa, ec, plain} {
		content := contents[references[i].Object()]
		if content.Version != want {
			t.Errorf("%v: version %q, want %q", references[i], content.Version, want)
		}
		text, err := content.Render(references[i])
		if err != nil {
			t.Errorf("%v: %v", references[i], err)
		}
		kind[strings.TrimPrefix(strings.SplitN(string(text), "\n", 2)[0], "-----BEGIN ")]++
	}
	// A certificate's secret begins with its private key.
	if diff := cmp.Diff(map[string]int{"PRIVATE KEY-----": 2, "CERTIFICATE-----": 2, "PUBLIC KEY-----": 3, "v": 1}, kind); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if chain, _ := contents[references[0].Object()].Render(references[0]); strings.Count(string(chain), "BEGIN CERTIFICATE") != 3 {
		t.Error("the secret's chain is not whole")
	}
	if challenges, tokens := w.answers(401), w.tokens(); challenges != 1 || tokens != 1 {
		t.Errorf("%d challenges and %d tokens for three types, want one of each", challenges, tokens)
	}

	for _, r := range []keyvault.Reference{of("cert", "tls", ""), of("key", "tls", "")} {
		if got, err := c.Newest(t.Context(), r.Object()); err != nil || got != version {
			t.Errorf("%v: newest is %q, %v; want %q", r, got, err, version)
		}
	}
}

func TestFailuresOfOtherTypes(t *testing.T) {
	past, future := time.Now().Add(-time.Minute), time.Now().Add(time.Minute)
	for name, tc := range map[string]struct {
		role emulator.Role
		set  func(*world)
		of   keyvault.Type
		kind azure.Kind
		want string
	}{
		"no certificate":        {emulator.CertificateUser, func(*world) {}, "cert", azure.Missing, "certificate a in vault " + shop + ": it does not exist (Azure answers 404 CertificateNotFound)"},
		"no key":                {emulator.CertificateUser, func(*world) {}, "key", azure.Missing, "key a in vault " + shop + ": it does not exist (Azure answers 404 KeyNotFound)"},
		"certificate forbidden": {emulator.SecretsUser, func(*world) {}, "cert", azure.Denied, `"Key Vault Certificate User"`},
		"key forbidden":         {emulator.SecretsUser, func(*world) {}, "key", azure.Denied, `"Key Vault Crypto User"`},
		"certificate disabled": {emulator.CertificateUser, func(w *world) {
			w.setCertificate(t, emulator.Certificate{Name: "a", KeyType: "EC", Disabled: true})
		}, "cert", azure.Disabled, "it is disabled"},
		"key disabled": {emulator.CertificateUser, func(w *world) {
			w.setKey(t, emulator.Key{Name: "a", KeyType: "EC", Disabled: true})
		}, "key", azure.Disabled, "it is disabled"},
		"certificate expired": {emulator.CertificateUser, func(w *world) {
			w.setCertificate(t, emulator.Certificate{Name: "a", KeyType: "EC", Expires: &past})
		}, "cert", azure.Disabled, "renew it"},
		"its secret expired": {emulator.CertificateUser, func(w *world) {
			w.setCertificate(t, emulator.Certificate{Name: "a", KeyType: "EC", Expires: &past})
		}, "", azure.Disabled, "it expired at"},
		"key not yet valid": {emulator.CertificateUser, func(w *world) {
			w.setKey(t, emulator.Key{Name: "a", KeyType: "EC", NotBefore: &future})
		}, "key", azure.Disabled, "not valid before"},
		"access policy": {"", func(w *world) { w.AddVault(emulator.Vault{Host: shop, AccessPolicies: true}) }, "key", azure.Denied, "the key permission Get in the vault's access policies"},
		"curve that Go has not": {emulator.CertificateUser, func(w *world) {
			w.Fail(shop, emulator.Fault{Status: 200, Body: `{"key": {"kid": "https://` + shop + `/keys/a/1", "kty": "EC", "crv": "P-256K", "x": "AA", "y": "AA"}}`})
		}, "key", azure.Configuration, "its curve is not supported"},
		"no point": {emulator.CertificateUser, func(w *world) {
			w.Fail(shop, emulator.Fault{Status: 200, Body: `{"key": {"kid": "https://` + shop + `/keys/a/1", "kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}}`})
		}, "key", azure.Configuration, "it is no point of its curve"},
		"symmetric": {emulator.CertificateUser, func(w *world) {
			w.Fail(shop, emulator.Fault{Status: 200, Body: `{"key": {"kid": "https://` + shop + `/keys/a/1", "kty": "oct-HSM"}}`})
		}, "key", azure.Configuration, "it has no public part"},
		"RSA without a modulus": {emulator.CertificateUser, func(w *world) {
			w.Fail(shop, emulator.Fault{Status: 200, Body: `{"key": {"kid": "https://` + shop + `/keys/a/1", "kty": "RSA", "e": "AQAB"}}`})
		}, "key", azure.Configuration, "its modulus or exponent is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, tc.role)
			tc.set(w)
			_, err := w.client(t, nil).Fetch(t.Context(), []keyvault.Reference{{Vault: shop, Type: tc.of, Name: "a"}})
			var failures azure.Failures
			if !errors.As(err, &failures) || len(failures) != 1 || failures[0].Kind != tc.kind || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
