package agent_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"twelvefold.dev/internal/agent"
	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/keyvault"
)

func TestServiceAccountTokenThatExpired(t *testing.T) {
	p := newPod(t)
	p.secret(t, shop, emulator.Secret{Name: "db-password", Value: marker})
	token, err := p.cluster.Sign(jwt.Claims{
		Subject: "system:serviceaccount:shop:api", Audience: jwt.Audience{emulator.TokenAudience}, Expiry: jwt.NewNumericDate(time.Now().Add(-time.Hour)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.path("token"), []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	p.fetch(t, env(in("db-password"))).want(t, agent.ExitDenied, "AADSTS700024", "recreate the pod", "clock")
}

// What ends TLS got a new authority since the pod's policy was read: it fails at once, though the deadline is a minute away.
func TestAuthorityWasRotated(t *testing.T) {
	p := newPod(t)
	p.secret(t, shop, emulator.Secret{Name: "db-password", Value: marker})
	if err := p.RotateCA(); err != nil {
		t.Fatal(err)
	}
	r := p.fetch(t, env(in("db-password")))
	r.want(t, agent.ExitUnreachable, "certificate signed by unknown authority", "keyVault.trustedCA")
	if strings.Contains(r.log, "trying again") {
		t.Errorf("it tried again:\n%s", r.log)
	}
}

func TestThrottledVaultIsWaitedFor(t *testing.T) {
	p := newPod(t)
	p.AddVault(emulator.Vault{Host: shop, Rate: &emulator.Rate{Requests: 2, Window: time.Second}})
	var plan keyvault.Plan
	for _, name := range []string{"a", "b", "c"} {
		p.secret(t, shop, emulator.Secret{Name: name, Value: marker})
		plan.Files = append(plan.Files, keyvault.FileItem{Path: name, Reference: in(name)})
	}
	p.fetch(t, plan).want(t, agent.ExitOK)
	if n := p.requests(shop); n[http.StatusOK] != 3 || n[http.StatusTooManyRequests] != 1 {
		t.Errorf("requests by status: %v", n)
	}
}

func TestFetchAsServicePrincipalAndManagedIdentity(t *testing.T) {
	p := newPod(t)
	p.secret(t, shop, emulator.Secret{Name: "db-password", Value: marker})
	p.identity(emulator.Identity{ClientSecret: marker + "-client", Managed: emulator.UserAssigned, Roles: map[string]emulator.Role{"*": emulator.SecretsUser}})
	for name, text := range map[string]string{"clientid": clientID, "clientsecret": marker + "-client"} {
		if err := os.WriteFile(p.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	delete(p.env, "AZURE_FEDERATED_TOKEN_FILE")
	p.env["TWELVEFOLD_CREDENTIAL_DIR"], p.env["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = p.dir, p.ProxyURL()
	for _, kind := range []string{"managed", "service-principal"} {
		p.env["TWELVEFOLD_IDENTITY"] = kind
		p.fetch(t, env(in("db-password"))).want(t, agent.ExitOK)
	}
	if err := os.WriteFile(p.path("clientsecret"), []byte(marker+"-old"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.fetch(t, env(in("db-password"))).want(t, agent.ExitDenied, "AADSTS7000215", "identity "+clientID)
	p.env["TWELVEFOLD_IDENTITY"] = "password"
	p.fetch(t, env(in("db-password"))).want(t, agent.ExitConfiguration, "TWELVEFOLD_IDENTITY")
}

func TestFetchDeliversCertificatesAndKeys(t *testing.T) {
	p := newPod(t)
	p.identity(emulator.Identity{Roles: map[string]emulator.Role{"*": emulator.CertificateUser}})
	if _, err := p.SetCertificate(shop, emulator.Certificate{Name: "tls", KeyType: "EC", Intermediate: true}); err != nil {
		t.Fatal(err)
	}
	p.secret(t, shop, emulator.Secret{Name: "db", Value: `{"user": "shop", "password": "` + marker + `"}`})
	of := func(kind keyvault.Type, name string) keyvault.Reference {
		return keyvault.Reference{Vault: shop, Type: kind, Name: name}
	}
	member := of("", "db")
	member.Field = "user"
	r := p.fetch(t, keyvault.Plan{Files: []keyvault.FileItem{
		{Path: "tls.pem", Reference: of("", "tls")}, {Path: "tls.crt", Reference: of("cert", "tls")},
		{Path: "tls.pub", Reference: of("key", "tls")}, {Path: "user", Reference: member},
	}})
	r.want(t, agent.ExitOK)
	for name, begin := range map[string]string{
		"tls.pem": "-----BEGIN PRIVATE KEY-----", "tls.crt": "-----BEGIN CERTIFICATE-----", "tls.pub": "-----BEGIN PUBLIC KEY-----", "user": "shop",
	} {
		if text, err := os.ReadFile(p.path("files/" + name)); err != nil || !strings.HasPrefix(string(text), begin) {
			t.Errorf("%s: %v, begins otherwise than %q", name, err, begin)
		}
	}
	member.Field = "absent"
	p.fetch(t, keyvault.Plan{Files: []keyvault.FileItem{{Path: "f", Reference: member}}}).
		want(t, agent.ExitConfiguration, "secret db in vault shop.vault.azure.net", `no field "absent"`)
}
