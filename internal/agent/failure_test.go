package agent_test

import (
	"testing"
	"time"

	"twelvefold.dev/internal/agent"
	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/keyvault"
)

func TestAzureRefuses(t *testing.T) {
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	const foreign = "99999999-9999-4999-8999-999999999999"
	for name, tc := range map[string]struct {
		secret emulator.Secret
		change func(*pod)
		code   int
		want   []string
	}{
		"missing": {
			secret: emulator.Secret{Name: "other"},
			code:   agent.ExitMissing,
			want:   []string{"secret db-password in vault shop.vault.azure.net", "SecretNotFound", "optional"},
		},
		"disabled": {
			secret: emulator.Secret{Name: "db-password", Disabled: true},
			code:   agent.ExitDisabled,
			want:   []string{"secret db-password", "disabled", "enable it"},
		},
		"expired": {
			secret: emulator.Secret{Name: "db-password", Expires: &past},
			code:   agent.ExitDisabled,
			want:   []string{"secret db-password", "expired at"},
		},
		"not yet valid": {
			secret: emulator.Secret{Name: "db-password", NotBefore: &future},
			code:   agent.ExitDisabled,
			want:   []string{"secret db-password", "not valid before"},
		},
		"in date": {
			secret: emulator.Secret{Name: "db-password", NotBefore: &past, Expires: &future},
			code:   agent.ExitOK,
		},
		"no role": {
			secret: emulator.Secret{Name: "db-password"},
			change: func(p *pod) { p.identity(emulator.Identity{}) },
			code:   agent.ExitDenied,
			want:   []string{"secret db-password", "ForbiddenByRbac", `"Key Vault Secrets User"`, clientID},
		},
		"role for metadata only": {
			secret: emulator.Secret{Name: "db-password"},
			change: func(p *pod) { p.identity(emulator.Identity{Roles: map[string]emulator.Role{shop: emulator.Reader}}) },
			code:   agent.ExitDenied,
			want:   []string{`"Key Vault Secrets User"`},
		},
		"no access policy": {
			secret: emulator.Secret{Name: "db-password"},
			change: func(p *pod) {
				p.AddVault(emulator.Vault{Host: shop, AccessPolicies: true})
				p.identity(emulator.Identity{})
			},
			code: agent.ExitDenied,
			want: []string{"AccessDenied", "access policies", clientID},
		},
		"no federated credential": {
			secret: emulator.Secret{Name: "db-password"},
			change: func(p *pod) {
				p.identity(emulator.Identity{Federated: []emulator.Federated{{Subject: "system:serviceaccount:bank:api"}}})
			},
			code: agent.ExitDenied,
			want: []string{"identity " + clientID, "AADSTS700213", "subject system:serviceaccount:shop:api", "issuer " + issuer},
		},
		"unknown client id": {
			secret: emulator.Secret{Name: "db-password"},
			change: func(p *pod) { p.env["AZURE_CLIENT_ID"] = foreign },
			code:   agent.ExitDenied,
			want:   []string{foreign, "AADSTS700016", "azure.workload.identity/client-id"},
		},
		"behind a firewall": {
			secret: emulator.Secret{Name: "db-password"},
			change: func(p *pod) {
				p.Fail(shop, emulator.Fault{Status: 403, Body: `{"error":{"code":"Forbidden","message":"Client address is not authorized.","innererror":{"code":"ForbiddenByFirewall"}}}`})
			},
			code: agent.ExitDenied,
			want: []string{"ForbiddenByFirewall", "private endpoint"},
		},
		"vault of another tenant": {
			secret: emulator.Secret{Name: "db-password"},
			change: func(p *pod) { p.AddVault(emulator.Vault{Host: shop, Tenant: foreign}) },
			code:   agent.ExitDenied,
			want:   []string{foreign, emulator.DefaultTenant, "tenant"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			tc.secret.Value = marker
			p.secret(t, shop, tc.secret)
			if tc.change != nil {
				tc.change(p)
			}
			p.fetch(t, env(in("db-password"))).want(t, tc.code, tc.want...)
		})
	}
}

// identity changes what the emulator knows of the pod's identity; what is empty of federation stays as it was.
func (p *pod) identity(i emulator.Identity) {
	i.ClientID = clientID
	if i.Federated == nil {
		i.Federated = []emulator.Federated{{Subject: "*"}}
	}
	p.SetIdentity(i)
}

func TestWrongServiceAccount(t *testing.T) {
	p := newPod(t)
	p.secret(t, shop, emulator.Secret{Name: "db-password", Value: marker})
	p.serviceAccount(t, "shop", "web")
	p.fetch(t, env(in("db-password"))).want(t, agent.ExitDenied, "subject system:serviceaccount:shop:web", "federated credential")
}

func TestFailuresAreToldTogether(t *testing.T) {
	p := newPod(t)
	p.secret(t, shop, emulator.Secret{Name: "off", Value: marker, Disabled: true})
	plan := env(in("absent"))
	plan.Files = []keyvault.FileItem{{Path: "f", Reference: in("off")}, {Path: "g", Reference: in("absent-too")}}
	p.fetch(t, plan).want(t, agent.ExitMissing, "secret absent in", "secret off in", "secret absent-too in")
}

func TestIdentityIsBlamedOnce(t *testing.T) {
	p := newPod(t)
	p.serviceAccount(t, "other", "api")
	var plan keyvault.Plan
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		plan.Files = append(plan.Files, keyvault.FileItem{Path: name, Reference: in(name)})
	}
	r := p.fetch(t, plan)
	r.want(t, agent.ExitDenied, "AADSTS700213")
	if n := len(splitLines(r.termination)); n != 2 {
		t.Errorf("%d lines, want a heading and one more:\n%s", n, r.termination)
	}
	if n := p.requests("login.microsoftonline.com")[401]; n != 1 {
		t.Errorf("Entra ID was asked %d times, want once", n)
	}
}

func TestUntrustedAuthority(t *testing.T) {
	p := newPod(t)
	other := newPod(t)
	p.env["TWELVEFOLD_TRUSTED_CA"] = other.env["TWELVEFOLD_TRUSTED_CA"]
	// It fails at once, though the deadline is a minute away.
	p.fetch(t, env(in("db-password"))).want(t, agent.ExitUnreachable, "certificate", "keyVault.trustedCA")
}

func TestUnknownVault(t *testing.T) {
	p := newPod(t)
	s := keyvault.Reference{Vault: "absent.vault.azure.net", Name: "a"}
	p.patience = "cannot reach absent.vault.azure.net"
	p.fetch(t, env(s)).want(t, agent.ExitUnreachable, p.patience)
}

// The SDK asks nobody for a token that is meant for another resource than the vault's own.
func TestChallengeForAnotherResourceIsRefused(t *testing.T) {
	p := newPod(t)
	p.secret(t, shop, emulator.Secret{Name: "a", Value: marker})
	p.AddVault(emulator.Vault{Host: shop, Resource: "https://vault.evil.example"})
	p.fetch(t, env(in("a"))).want(t, agent.ExitConfiguration, "vault.evil.example", "match")
	for _, r := range p.Requests() {
		if r.Method == "POST" {
			t.Error("a token was asked for")
		}
	}
}

// What answers in Azure's place may send anything; errors of decoders quote it.
func TestGarbledAnswerIsNotQuoted(t *testing.T) {
	for name, body := range map[string]string{
		"no JSON": marker, "wrong type": `{"value": ["` + marker + `"]}`, "cut": `{"value": "` + marker, "no value": `{"id": "` + marker + `"}`,
		"dates": `{"value": "x", "attributes": {"exp": "` + marker + `"}}`,
	} {
		for _, host := range []string{shop, "login.microsoftonline.com"} {
			t.Run(name+" from "+host, func(t *testing.T) {
				p := newPod(t)
				p.secret(t, shop, emulator.Secret{Name: "a", Value: marker})
				p.Fail(host, emulator.Fault{Status: 200, Body: body})
				p.fetch(t, env(in("a"))).want(t, agent.ExitUnreachable, "the answer ")
			})
		}
	}
}

func TestSovereignCloud(t *testing.T) {
	p := newPod(t)
	s := keyvault.Reference{Vault: "shop.vault.azure.cn", Name: "a"}
	p.secret(t, s.Vault, emulator.Secret{Name: s.Name, Value: marker})
	p.fetch(t, env(s)).want(t, agent.ExitOK)
	if n := len(p.requests("login.chinacloudapi.cn")); n == 0 {
		t.Error("the token does not come from China's Entra ID")
	}
}

func TestProxyThatIsDown(t *testing.T) {
	p := newPod(t)
	p.secret(t, shop, emulator.Secret{Name: "a", Value: marker})
	p.env["HTTPS_PROXY"] = "http://127.0.0.1:1" // where nobody listens
	p.patience = "127.0.0.1:1"
	p.fetch(t, env(in("a"))).want(t, agent.ExitUnreachable, p.patience, "keyVault.proxy")
}
