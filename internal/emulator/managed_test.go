package emulator_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"twelvefold.dev/internal/emulator"
)

func TestMetadataService(t *testing.T) {
	w := start(t)
	w.set(t, shop, emulator.Secret{Name: "a", Value: "v"})
	roles := map[string]emulator.Role{"*": emulator.SecretsUser}
	w.SetIdentity(emulator.Identity{ClientID: "user", Managed: emulator.UserAssigned, Roles: roles})
	w.SetIdentity(emulator.Identity{ClientID: "node", Managed: emulator.SystemAssigned, Roles: roles})
	for name, tc := range map[string]struct {
		clientID, metadata string
		as, refusal        string
	}{
		"user-assigned":   {"user", "true", "user", ""},
		"system-assigned": {"", "true", "node", ""},
		"not assigned":    {api, "true", "", "Identity not found"},
		"no header":       {"user", "", "", "metadata header"},
	} {
		t.Run(name, func(t *testing.T) {
			q := url.Values{"api-version": {"2018-02-01"}, "resource": {"https://vault.azure.net"}}
			if tc.clientID != "" {
				q.Set("client_id", tc.clientID)
			}
			req, _ := http.NewRequestWithContext(t.Context(), "GET", w.ProxyURL()+"/metadata/identity/oauth2/token?"+q.Encode(), nil)
			req.Header.Set("Metadata", tc.metadata)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			var body map[string]string
			if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
				t.Fatal(err)
			}
			if tc.refusal != "" {
				if res.StatusCode != http.StatusBadRequest || !strings.Contains(body["error_description"], tc.refusal) {
					t.Errorf("got %d %v", res.StatusCode, body)
				}
				return
			}
			if res.StatusCode != http.StatusOK || body["client_id"] != tc.as || body["expires_in"] != "3600" {
				t.Fatalf("got %d as %s for %s", res.StatusCode, body["client_id"], body["expires_in"])
			}
			get, _ := http.NewRequestWithContext(t.Context(), "GET", "https://"+shop+"/secrets/a?api-version=7.6", nil)
			get.Header.Set("Authorization", "Bearer "+body["access_token"])
			if res, err := w.http(t).Do(get); err != nil || res.StatusCode != http.StatusOK {
				t.Errorf("the vault does not take the token: %v, %v", res, err)
			}
		})
	}
}

func TestTokensExpire(t *testing.T) {
	var passed atomic.Int64
	e, err := emulator.Start(t.Context(), emulator.Config{
		TokenLife: time.Minute, Now: func() time.Time { return time.Now().Add(time.Duration(passed.Load())) },
		Seed: emulator.Seed{
			Vaults:     []emulator.Vault{{Host: shop, Secrets: []emulator.Secret{{Name: "a", Value: "v"}}}},
			Identities: []emulator.Identity{{ClientID: "user", ClientSecret: "hush", Roles: map[string]emulator.Role{"*": emulator.SecretsUser}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	client := world{e, nil}.http(t)
	token := func(secret string) (int, string) {
		res, err := client.PostForm("https://login.microsoftonline.com/"+emulator.DefaultTenant+"/oauth2/v2.0/token", url.Values{
			"grant_type": {"client_credentials"}, "client_id": {"user"}, "client_secret": {secret}, "scope": {"https://vault.azure.net/.default"},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var body struct {
			Token string `json:"access_token"`
			Codes []int  `json:"error_codes"`
		}
		if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
			t.Fatal(err)
		}
		if len(body.Codes) > 0 {
			return body.Codes[0], ""
		}
		return 0, body.Token
	}
	get := func(token string) int {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://"+shop+"/secrets/a?api-version=7.6", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	_, good := token("hush")
	if got := get(good); got != http.StatusOK {
		t.Errorf("a fresh token: %d", got)
	}
	passed.Store(int64(61 * time.Second))
	if got := get(good); got != http.StatusUnauthorized {
		t.Errorf("an old token: %d", got)
	}
	if code, _ := token("wrong"); code != 7000215 {
		t.Errorf("wrong secret: AADSTS%d", code)
	}
	e.SetIdentity(emulator.Identity{ClientID: "user", ClientSecret: "hush", ClientSecretExpired: true})
	if code, _ := token("hush"); code != 7000222 {
		t.Errorf("expired secret: AADSTS%d", code)
	}
}
