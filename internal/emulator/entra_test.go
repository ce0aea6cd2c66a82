package emulator_test

import (
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"twelvefold.dev/internal/emulator"
)

func TestFederatedToken(t *testing.T) {
	w := start(t)
	w.set(t, shop, emulator.Secret{Name: "a", Value: "v"})
	stranger, err := emulator.NewCluster(cluster) // same name, other key
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	good := jwt.Claims{
		Subject: "system:serviceaccount:shop:api", Audience: jwt.Audience{emulator.TokenAudience},
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Hour)),
	}
	with := func(change func(*jwt.Claims)) jwt.Claims { c := good; change(&c); return c }

	for name, tc := range map[string]struct {
		by     *emulator.Cluster
		client string
		claims jwt.Claims
		want   string // empty: accepted
	}{
		"good":             {w.cluster, api, good, ""},
		"unknown client":   {w.cluster, "55555555-5555-4555-8555-555555555555", good, "AADSTS700016"},
		"foreign key":      {stranger, api, good, "AADSTS700027"},
		"foreign issuer":   {w.cluster, api, with(func(c *jwt.Claims) { c.Issuer = "https://elsewhere" }), "AADSTS700211"},
		"other audience":   {w.cluster, api, with(func(c *jwt.Claims) { c.Audience = jwt.Audience{cluster} }), "AADSTS700212"},
		"other subject":    {w.cluster, api, with(func(c *jwt.Claims) { c.Subject = "system:serviceaccount:other:api" }), "AADSTS700213"},
		"expired":          {w.cluster, api, with(func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(now.Add(-time.Hour)) }), "AADSTS700024"},
		"not valid so far": {w.cluster, api, with(func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(now.Add(time.Hour)) }), "AADSTS700024"},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := tc.by.Sign(tc.claims)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.secretsWith(t, shop, tc.client, token).GetSecret(t.Context(), "a", "", nil)
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}
