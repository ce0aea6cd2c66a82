package azure_test

import (
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/azure"
)

var justA = []keyvault.Reference{{Vault: shop, Name: "a"}}

// The vault's clock is ahead of ours, or somebody revoked the token: only a new one helps.
func TestTokenThatTheVaultTakesNoLonger(t *testing.T) {
	var passed atomic.Int64
	w := startWith(t, emulator.Config{
		Now: func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }, TokenLife: 2 * time.Minute,
		Seed: emulator.Seed{
			Vaults:     []emulator.Vault{{Host: shop}},
			Identities: []emulator.Identity{{ClientID: reader, Federated: []emulator.Federated{{Subject: "*"}}, Roles: secretsUser}},
		},
	})
	w.set(t, emulator.Secret{Name: "a", Value: "v"})
	c := w.client(t, nil)
	for i := range 2 {
		if _, err := c.Fetch(t.Context(), justA); err != nil {
			t.Fatal(err)
		}
		if got := w.tokens(); got != i+1 {
			t.Errorf("%d tokens, want %d", got, i+1)
		}
		passed.Store(int64(3 * time.Minute)) // within what Entra forgives of the service account's token
	}
}

// A vault that takes none of our tokens is not asked for ever.
func TestTokenThatTheVaultNeverTakes(t *testing.T) {
	w := start(t, emulator.SecretsUser)
	w.set(t, emulator.Secret{Name: "a", Value: "v"})
	c := w.client(t, nil)
	if _, err := c.Fetch(t.Context(), justA); err != nil {
		t.Fatal(err)
	}
	w.Fail(shop, emulator.Fault{Status: 401, Body: `{"error": {"code": "Unauthorized"}}`})
	_, err := c.Fetch(t.Context(), justA)
	wantFailure(t, err, azure.Denied, "does not take the token of identity "+reader, "clock")
	if n := w.answers(401); n > 6 {
		t.Errorf("asked %d times", n)
	}
}

func TestServiceAccountTokenOutOfTime(t *testing.T) {
	for name, claims := range map[string]jwt.Claims{
		"expired":    {Expiry: jwt.NewNumericDate(time.Now().Add(-time.Hour))},
		"clock skew": {Expiry: jwt.NewNumericDate(time.Now().Add(2 * time.Hour)), NotBefore: jwt.NewNumericDate(time.Now().Add(time.Hour))},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, emulator.SecretsUser)
			w.set(t, emulator.Secret{Name: "a", Value: "v"})
			claims.Subject, claims.Audience = "system:serviceaccount:shop:api", jwt.Audience{emulator.TokenAudience}
			token, err := w.cluster.Sign(claims)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(w.token, []byte(token), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = w.client(t, nil).Fetch(t.Context(), justA)
			wantFailure(t, err, azure.Denied, "AADSTS700024", "the node's clock")
			if w.tokens() != 1 {
				t.Errorf("Entra ID was asked %d times, want once", w.tokens())
			}
		})
	}
}

// What terminates TLS got a certificate of a new authority while we run.
func TestAuthorityIsRotated(t *testing.T) {
	w := start(t, emulator.SecretsUser)
	w.set(t, emulator.Secret{Name: "a", Value: "v"})
	var inUse *http.Client
	c := w.client(t, func(c *azure.Config) { inUse = c.HTTP })
	if _, err := c.Fetch(t.Context(), justA); err != nil {
		t.Fatal(err)
	}
	if err := w.RotateCA(); err != nil {
		t.Fatal(err)
	}
	inUse.CloseIdleConnections()
	_, err := c.Fetch(t.Context(), justA) // at once: the context has no deadline
	wantFailure(t, err, azure.Unreachable, "certificate signed by unknown authority", "keyVault.trustedCA")
}

// All pods of a big Deployment start together, at a vault that answers fewer requests in a second than they need.
func TestManyPodsAtAThrottledVault(t *testing.T) {
	const pods, perSecond = 200, 150
	var running atomic.Int64 // since when the vault's clock runs: from the first throttled request on, however slow this machine is
	begin := time.Now()
	w := startWith(t, emulator.Config{
		Now: func() time.Time {
			if since := running.Load(); since > 0 {
				return begin.Add(time.Since(time.Unix(0, since)))
			}
			return begin
		},
		Seed: emulator.Seed{
			Vaults:     []emulator.Vault{{Host: shop, Rate: &emulator.Rate{Requests: perSecond, Window: time.Second}}},
			Identities: []emulator.Identity{{ClientID: reader, Federated: []emulator.Federated{{Subject: "*"}}, Roles: secretsUser}},
		},
	})
	var references []keyvault.Reference
	for _, name := range []string{"a", "b"} {
		w.set(t, emulator.Secret{Name: name, Value: "v"})
		references = append(references, keyvault.Reference{Vault: shop, Name: name})
	}
	var group sync.WaitGroup
	for i := range pods {
		c := w.client(t, func(c *azure.Config) { c.Retry = azure.Retry{Timeout: 2 * time.Minute} }) // waits as in pods; they share this machine
		group.Go(func() {
			contents, err := c.Fetch(t.Context(), references)
			if err == nil && len(contents) != len(references) {
				err = fmt.Errorf("%d contents", len(contents))
			}
			if err != nil {
				t.Errorf("pod %d: %v", i, err)
			}
		})
	}
	group.Go(func() {
		for w.answers(429) == 0 && t.Context().Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		running.Store(time.Now().UnixNano())
	})
	group.Wait()

	const pairs = pods * 2
	asked := 0
	for _, r := range w.Requests() {
		if r.Host == shop && r.ClientID != "" {
			asked++
		}
	}
	served, throttled := w.answers(200), w.answers(429)
	t.Logf("%d answers, %d challenges, %d throttled", served, w.answers(401), throttled)
	if served != pairs || asked != pairs+throttled {
		t.Errorf("%d requests were answered and %d throttled of %d; want %d answers", served, throttled, asked, pairs)
	}
	if w.answers(401) != pods || w.tokens() != pods {
		t.Errorf("%d challenges, %d tokens; want one of each per pod", w.answers(401), w.tokens())
	}
	if throttled == 0 || throttled > 2*pairs {
		t.Errorf("%d answers of 429 for %d objects: want some, but no storm", throttled, pairs)
	}
}
