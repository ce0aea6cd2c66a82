package azure_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/azure"
)

// The role Key Vault Reader is enough to list a vault, page by page, and not to read a value.
func TestList(t *testing.T) {
	w := start(t, emulator.Reader)
	date := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	for i := range 51 {
		w.set(t, emulator.Secret{Name: fmt.Sprintf("s%d", i), Value: "v", Disabled: i == 1, Expires: &date})
	}
	client := w.client(t, nil)
	all, err := client.List(t.Context(), shop, keyvault.SecretType, 51)
	if err != nil || len(all) != 51 {
		t.Fatalf("%d secrets, %v", len(all), err)
	}
	for _, p := range all {
		if p.Enabled != (p.Name != "s1") || !p.Expires.Equal(date) || !p.NotBefore.IsZero() {
			t.Errorf("got %+v", p)
		}
	}
	if _, err := client.List(t.Context(), shop, keyvault.SecretType, 50); err == nil || !strings.Contains(err.Error(), "more than 50 objects") {
		t.Errorf("one too many: %v", err)
	}
	for _, r := range w.Requests() {
		if r.Host == shop && r.Path != "/secrets" {
			t.Errorf("asked for %s", r.Path)
		}
	}
	if _, err := client.Fetch(t.Context(), []keyvault.Reference{{Vault: shop, Name: "s0"}}); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("reading a value as a mere reader of metadata: %v", err)
	}
}

// Certificates and keys are listed by the same role; a certificate stands in all three lists.
func TestListTypes(t *testing.T) {
	w := start(t, emulator.Reader)
	date := time.Date(2036, 10, 1, 0, 0, 0, 0, time.UTC)
	if _, err := w.SetCertificate(shop, emulator.Certificate{Name: "tls", KeyType: "EC", Expires: &date}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.SetKey(shop, emulator.Key{Name: "signing", KeyType: "EC", Disabled: true}); err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[keyvault.Type]string{
		keyvault.SecretType: "tls true 2036;", keyvault.CertificateType: "tls true 2036;", keyvault.KeyType: "signing false 1;tls true 2036;",
	} {
		all, err := w.client(t, nil).List(t.Context(), shop, kind, 10)
		slices.SortFunc(all, func(a, b azure.Properties) int { return strings.Compare(a.Name, b.Name) })
		got := ""
		for _, p := range all {
			got += fmt.Sprintf("%s %t %d;", p.Name, p.Enabled, p.Expires.Year())
		}
		if err != nil || got != want {
			t.Errorf("%q: got %s, %v; want %s", kind, got, err, want)
		}
	}
}

func TestListFails(t *testing.T) {
	w := start(t, emulator.Reader)
	w.AddVault(emulator.Vault{Host: "closed.vault.azure.net"})
	w.SetIdentity(emulator.Identity{ClientID: reader, Federated: []emulator.Federated{{Subject: "*"}}, Roles: map[string]emulator.Role{shop: emulator.Reader}})
	for name, tc := range map[string]struct {
		host  string
		fault emulator.Fault
		kind  azure.Kind
		text  string
	}{
		"denied":    {"closed.vault.azure.net", emulator.Fault{}, azure.Denied, `vault closed.vault.azure.net: client id ` + reader + ` may not list it (Azure answers 403 ForbiddenByRbac); give it the role "Key Vault Reader"`},
		"throttled": {shop, emulator.Fault{Status: 429, RetryAfter: 7 * time.Second}, azure.Unreachable, "vault shop.vault.azure.net: the vault is throttled"},
		"broken":    {shop, emulator.Fault{Status: 503}, azure.Unreachable, "Azure answers 503"},
		"down":      {shop, emulator.Fault{Down: true}, azure.Unreachable, "cannot reach"},
	} {
		t.Run(name, func(t *testing.T) {
			w.Heal(shop)
			if tc.fault != (emulator.Fault{}) {
				w.Fail(shop, tc.fault)
			}
			_, err := w.client(t, nil).List(t.Context(), tc.host, keyvault.SecretType, 100)
			var f *azure.Failure
			if !errors.As(err, &f) || f.Kind != tc.kind || !strings.Contains(err.Error(), tc.text) || f.RetryAfter() != tc.fault.RetryAfter {
				t.Errorf("got %v (%+v)", err, f)
			}
		})
	}
}
