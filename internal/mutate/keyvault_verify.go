package mutate

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/policy"
)

// certainFor is how long what a vault said is taken for what it would say now, which is what it takes to refuse a pod: the secret
// may have been made or enabled a moment ago. What is older only warns, and tells how old it is.
const certainFor = 30 * time.Second

// verify tells of secrets that are known to be missing, disabled or out of date, before their pod waits for them.
//
// It is about vaults that the policy lists for the namespace, and no others. The webhook's identity may read what the namespace's
// own may not: if any vault could be named, a pod that is never meant to run would tell whether a name exists in somebody else's vault,
// until when it is valid, and what the names beside it are. In a vault that the policy gives the namespace these are its own affairs.
func (k *keyVault) verify() {
	level := policy.Warn
	if k.policy.Verify != nil {
		level = *k.policy.Verify
	}
	if level == policy.Off || k.Facts.Secret == nil {
		return
	}
	v := verification{keyVault: k, level: level, known: map[keyvault.Object]policy.Metadata{}, told: map[string]bool{}}
	for _, value := range k.values {
		for _, p := range value.value.Parts {
			if p.Secret != nil {
				v.check(envPath(value.container, value.index)+".value", value.container.Name(), *p.Secret)
			}
		}
	}
	for _, in := range slices.Concat(k.env, k.files) {
		v.check(in.from, "", in.secret)
	}
}

// AuthorityHost is where tokens come from by the policy's word. Empty leaves that to the cloud of the vault.
func AuthorityHost(kv policy.KeyVault) string { return cmp.Or(kv.AuthorityHost, authorities[kv.Cloud]) }

// verification is one call of verify.
type verification struct {
	*keyVault
	level policy.Level
	known map[keyvault.Object]policy.Metadata
	told  map[string]bool // objects and vaults
}

func (v *verification) check(from, container string, r keyvault.Reference) {
	if !v.listed(r.Vault) {
		return
	}
	m, asked := v.known[r.Object()]
	if !asked {
		m = v.Facts.Secret(r.Object())
		v.known[r.Object()] = m
	}
	if m.State == policy.Missing {
		r.Version = "" // it is missing in all its versions
	}
	subject := r.String()
	level, problem, fix := v.judge(r, m)
	if m.State == policy.Unknown && m.Problem != "" {
		subject, level = "secrets of vault "+r.Vault, policy.Warn
		problem, fix = "are not verified: "+m.Problem, "the pod is admitted as it is; the webhook's log tells how to mend this"
	}
	if problem == "" || v.told[subject] {
		return
	}
	v.told[subject] = true
	message := subject + " " + problem
	if ofPolicy(from) { // the pod's labels brought it
		from, message = "metadata.labels", from+": "+message
	}
	if level == policy.Deny {
		v.refuse(from, container, message, fix)
	} else {
		v.Warn(from, container, message, fix)
	}
}

// judge finds what is not in order; an empty problem is none.
func (v *verification) judge(r keyvault.Reference, m policy.Metadata) (level policy.Level, problem, fix string) {
	const day = "2006-01-02 15:04 MST"
	switch now := v.Facts.Now; {
	case m.State == policy.Missing && !r.Optional:
		problem, fix = "does not exist", "create it, correct the name, or mark the reference optional"
	case m.State != policy.Exists:
		return policy.Off, "", ""
	case !m.Enabled:
		problem, fix = "is disabled", "enable it, or name another version"
	case !m.Expires.IsZero() && !now.Before(m.Expires):
		problem, fix = "expired at "+m.Expires.UTC().Format(day), "set a new version, or move its expiry date"
	case now.Before(m.NotBefore):
		problem, fix = "is not valid before "+m.NotBefore.UTC().Format(day), "move its activation date, or name an older version"
	default:
		return policy.Off, "", ""
	}
	level = v.level
	if v.Facts.Now.Sub(m.Asked) > certainFor {
		level = min(level, policy.Warn)
		problem += fmt.Sprintf(", as of %s", m.Asked.UTC().Format("15:04 MST"))
	}
	if m.Nearest != "" {
		problem += fmt.Sprintf(" (did you mean %s?)", m.Nearest)
	}
	return level, problem, fix
}

// listed says whether the policy gives the vault to the namespace by name.
func (k *keyVault) listed(host string) bool {
	return slices.ContainsFunc(k.policy.Vaults, func(v policy.Vault) bool {
		name, err := k.hosts.Host(v.Name)
		return err == nil && name == host && v.Allows(k.Facts.Namespace)
	})
}
