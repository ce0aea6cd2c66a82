package reviewtest

import (
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
)

// vaults is a document of a fixture, of kind Vaults: what is known of vaults without reading a value. Where a fixture has it, all
// references are looked up there; without it nobody verifies.
//
//	apiVersion: fixtures.twelvefold.dev/v1
//	kind: Vaults
//	vaults:
//	- host: shop.vault.azure.net
//	  problem: the vault is throttled   # nothing is known
//	  asked: 2026-11-01T11:56:00Z       # default: now
//	  objects:
//	  - {name: db-password}
//	  - {name: tls, type: cert}           # default: a secret
//	  - {name: old, disabled: true, notBefore: …, expires: …}
//	  - {name: db-pasword, nearest: db-password}   # does not exist
type vaults struct {
	Vaults []struct {
		Host    string
		Problem string
		Asked   time.Time
		Objects []struct {
			Type               keyvault.Type
			Name               string
			Nearest            string
			Disabled           bool
			NotBefore, Expires time.Time
		}
	}
}

const vaultsKind = "Vaults"

// secrets makes of the document what looks objects up. A vault that it does not hold has not answered yet.
func secrets(t testing.TB, o manifest.Object) func(keyvault.Object) policy.Metadata {
	t.Helper()
	var document struct {
		APIVersion, Kind string
		vaults
	}
	if err := yaml.UnmarshalStrict(o.JSON, &document); err != nil {
		t.Fatal(err)
	}
	return func(o keyvault.Object) policy.Metadata {
		for _, v := range document.Vaults {
			if v.Host != o.Vault {
				continue
			}
			if v.Problem != "" {
				return policy.Metadata{State: policy.Unknown, Problem: v.Problem}
			}
			m := policy.Metadata{State: policy.Missing, Asked: v.Asked}
			if v.Asked.IsZero() {
				m.Asked = Facts.Now
			}
			for _, known := range v.Objects {
				if known.Type != o.Type || !strings.EqualFold(known.Name, o.Name) {
					continue
				}
				if m.Nearest = known.Nearest; known.Nearest == "" {
					m.State, m.Enabled, m.NotBefore, m.Expires = policy.Exists, !known.Disabled, known.NotBefore, known.Expires
				}
			}
			return m
		}
		return policy.Metadata{State: policy.Unknown}
	}
}
