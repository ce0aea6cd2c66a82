package emulator_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/emulator"
)

func TestGetSecret(t *testing.T) {
	w := start(t)
	old := w.set(t, shop, emulator.Secret{Name: "db-password", Value: "first"})
	w.set(t, shop, emulator.Secret{Name: "db-password", Value: "second"})
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	w.set(t, shop, emulator.Secret{Name: "expired", Value: "x", Expires: &past})
	w.set(t, shop, emulator.Secret{Name: "early", Value: "y", NotBefore: &future})
	c := w.secrets(t, shop, api)

	for _, tc := range []struct{ name, version, want string }{
		{"db-password", "", "second"},
		{"DB-Password", "", "second"},
		{"db-password", old, "first"},
		{"expired", "", "x"},
		{"early", "", "y"},
	} {
		got, err := c.GetSecret(t.Context(), tc.name, tc.version, nil)
		if err != nil {
			t.Fatalf("%s/%s: %v", tc.name, tc.version, err)
		}
		if *got.Value != tc.want {
			t.Errorf("%s/%s = %q, want %q", tc.name, tc.version, *got.Value, tc.want)
		}
	}
}

func TestSovereignCloud(t *testing.T) {
	w := start(t)
	const host = "shop.vault.azure.cn"
	w.set(t, host, emulator.Secret{Name: "a", Value: "v"})
	w.SetIdentity(emulator.Identity{ClientID: api, Federated: []emulator.Federated{{Subject: "*"}}, Roles: map[string]emulator.Role{"*": emulator.SecretsUser}})
	if _, err := w.secrets(t, host, api).GetSecret(t.Context(), "a", "", nil); err != nil {
		t.Fatal(err)
	}
}

func TestRefusals(t *testing.T) {
	w := start(t)
	w.set(t, shop, emulator.Secret{Name: "there", Value: "v"})
	w.set(t, shop, emulator.Secret{Name: "off", Value: "v", Disabled: true})
	const old = "old.vault.azure.net"
	w.AddVault(emulator.Vault{Host: old, AccessPolicies: true})

	for name, tc := range map[string]struct {
		host, client, secret, version string
		status                        int
		body                          string
	}{
		"no such secret":     {shop, api, "absent", "", 404, `"SecretNotFound"`},
		"no such version":    {shop, api, "there", strings.Repeat("0", 32), 404, `"SecretNotFound"`},
		"disabled":           {shop, api, "off", "", 403, `"SecretDisabled"`},
		"metadata only":      {shop, auditor, "there", "", 403, `"ForbiddenByRbac"`},
		"no role":            {shop, nobody, "there", "", 403, `"ForbiddenByRbac"`},
		"no access policy":   {old, api, "there", "", 403, `"AccessDenied"`},
		"impossible as name": {shop, api, "a_b", "", 400, `"BadParameter"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.secrets(t, tc.host, tc.client).GetSecret(t.Context(), tc.secret, tc.version, nil)
			var refusal *azcore.ResponseError
			if !errors.As(err, &refusal) {
				t.Fatalf("got %v, want a refusal", err)
			}
			if refusal.StatusCode != tc.status || !strings.Contains(refusal.Error(), tc.body) {
				t.Errorf("want %d with %s, got %v", tc.status, tc.body, refusal)
			}
		})
	}
}

func TestListsArePaged(t *testing.T) {
	w := start(t)
	var want []string
	for i := range 60 {
		name := "s" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		want = append(want, name)
		w.set(t, shop, emulator.Secret{Name: name, Value: "v"})
	}
	for range 29 {
		w.set(t, shop, emulator.Secret{Name: "saa", Value: "v"})
	}
	c := w.secrets(t, shop, auditor)

	var got []string
	pages := 0
	for p := c.NewListSecretPropertiesPager(nil); p.More(); pages++ {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page.Value {
			got = append(got, s.ID.Name())
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || pages != 3 {
		t.Errorf("%d pages (want 3), names (-want +got):\n%s", pages, diff)
	}

	versions := map[string]bool{}
	for p := c.NewListSecretPropertiesVersionsPager("saa", nil); p.More(); {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page.Value {
			versions[s.ID.Version()] = true
		}
	}
	if len(versions) != 30 {
		t.Errorf("got %d versions, want 30", len(versions))
	}
}
