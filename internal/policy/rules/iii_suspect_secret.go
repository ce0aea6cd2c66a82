package rules

import (
	"slices"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/secretscan"
	"twelvefold.dev/internal/shell"
)

// suspect-secret
//
//	restricted: env[*].value, flags in command and args, variables and flags in scripts, httpGet headers
//	allowed:    names of something about a secret (DB_PASSWORD_FILE); values that don't look random
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "suspect-secret", Factor: "III", Levels: policy.Levels{Baseline: policy.Warn, Strict: policy.Deny}},
		Page: policy.Page{
			Title: "A variable that is called like a secret has a literal value",
			Why: "The name of the variable, flag or header says password, secret, token or key, and the value looks random: most likely it is one, in plain text for whoever may read the pod, " +
				"in Git and in etcd's backups.",
			Fix: "If it is a secret, revoke it, put the new one into Key Vault and write a reference. If it isn't, give it a name that says what it is: " +
				"TOKEN_ISSUER rather than TOKEN. An exemption in the policy is the last resort.",
			Allowed: "Names that end in _FILE, _PATH, _DIR, _NAME, _ID, _TTL and the like; values shorter than 8 characters or with less than 3.5 bits of entropy a character " +
				"(3 for digits in hex; passwords of less than 12 characters count where three kinds of characters are mixed); paths, URLs, UUIDs, numbers, booleans, names of objects, references and placeholders.",
			Example: "env:\n- name: SESSION_SECRET\n  value: \"@Microsoft.KeyVault(VaultName=shop;SecretName=session-secret)\"\n- name: DB_PASSWORD_FILE\n  value: /var/run/secrets/keyvault/db-password\n",
		},
		Check: checkSuspectSecret,
	})
}

func checkSuspectSecret(s *Subject, report func(Violation)) {
	for t := range s.texts() {
		if !t.suspect() {
			continue
		}
		_, certain := secretscan.Find(t.Name, t.Value)
		if _, url := secretscan.FindURL(t.Value); certain || url { // reported by literal-secret or credential-url
			continue
		}
		message := "called like a secret, and the value looks random"
		if t.Name == "" {
			message = "the script holds a value that is called like a secret and looks random"
		}
		report(Violation{Path: t.Path, Container: t.Container, Message: message, Fix: t.fromKeyVault()})
	}
}

// suspect looks at the text's own name, and into scripts for variables and options.
func (t text) suspect() bool {
	if t.Name != "" {
		return secretscan.Suspect(t.Name, t.Value)
	}
	return (t.place == inScript || t.place == inHook) && slices.ContainsFunc(shell.ScriptSettings(t.Value), func(s shell.Setting) bool {
		return secretscan.Suspect(s.Name, s.Value)
	})
}
