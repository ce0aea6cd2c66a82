package rules

import (
	"cmp"
	"strings"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/secretscan"
)

// credential-url
//
//	restricted: env values, command, args, exec and headers of probes and lifecycle hooks, of all containers; annotations
//	allowed:    a reference or a placeholder as the password; a URL without one
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "credential-url", Factor: "III", Levels: policy.At(policy.Deny)},
		Page: policy.Page{
			Title: "A URL holds a password",
			Why: "Who may read the pod may read the password: it stands in etcd, in Git, in every kubectl describe, and in the log of every program that prints its addresses. " +
				"It cannot be rotated without a new release, and the manifest fits one environment only. A weak one such as changeme counts too: somewhere it works.",
			Fix: "Keep the whole URL in Key Vault and refer to it. Where only the password is secret, refer to that part in ${…}: " +
				"postgres://shop:${@Microsoft.KeyVault(VaultName=shop;SecretName=db-password)}@db/shop. A Kubernetes Secret by valueFrom, with $(VAR) in the URL, satisfies the rule as well.",
			Allowed: "A URL with a user and no password. $(VAR), ${VAR}, {{ … }}, <password> or *** as the password: something else fills them in.",
			Example: "env:\n- name: DB_URL\n  value: \"@Microsoft.KeyVault(VaultName=shop;SecretName=db-url)\"\n",
		},
		Check: checkCredentialURL,
	})
}

func checkCredentialURL(s *Subject, report func(Violation)) {
	for t := range s.texts() {
		url, found := secretscan.FindURL(t.Value)
		if !found {
			continue
		}
		if _, reported := secretscan.Find(t.Name, t.Value); reported { // by literal-secret
			continue
		}
		message := cmp.Or(url.Scheme, "a") + " URL holds a password"
		if url.Encoded {
			message += ", in base64"
		}
		fix := t.fromKeyVault()
		if t.place == inEnv && !url.Whole && !url.Encoded {
			fix = "take the password from Key Vault:\n  " + cmp.Or(url.Scheme, "<scheme>") + "://<user>:${" + strings.Trim(keyVaultReference, `"`) + "}@<host>"
		}
		report(Violation{Path: t.Path, Container: t.Container, Message: message, Fix: fix})
	}
}
