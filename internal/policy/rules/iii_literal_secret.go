package rules

import (
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/secretscan"
)

// literal-secret
//
//	restricted: env[*].value, command, args, exec and httpGet of probes and lifecycle handlers of all containers;
//	            metadata.annotations
//	allowed:    valueFrom, $(VAR), Key Vault references, placeholders
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "literal-secret", Factor: "III", Levels: policy.At(policy.Deny)},
		Page: policy.Page{
			Title: "A secret stands in the pod's spec as plain text",
			Why: "The spec lies in Git, in etcd, in its backups and in every ReplicaSet of the last ten rollouts, and each person or tool with get on pods reads it. " +
				"It can't be rotated without a deploy, and once leaked nobody can say who saw it. Found are secrets that are certain by their form, in base64 too: connection strings, " +
				"keys and SAS of Azure's services, passwords in connection strings of databases, Redis and Kafka, private keys, JWTs, and the tokens of clouds, code hosts and other services that mark theirs.",
			Fix: "Revoke the secret: it has been seen. Put the new one into Key Vault and write a reference in its place; the app still finds it in the same variable. " +
				"Where a command needs it, let the command read the variable: $(NAME) in command and args, \"$NAME\" in a script. A managed identity needs no secret at all.",
			Allowed: "valueFrom; $(VAR); Key Vault references; placeholders in <…>, ${…}, {{…}} and ***; a connection string without a password, such as one with " +
				"Authentication=Active Directory Default; an InstrumentationKey, which only lets telemetry in; Google API keys and JWTs in variables that frontends publish (NEXT_PUBLIC_, VITE_, REACT_APP_). The documented key of the storage emulator Azurite warns and never denies.",
			Example: "env:\n- name: AzureWebJobsStorage\n  value: \"@Microsoft.KeyVault(VaultName=shop;SecretName=jobs-storage)\"\n",
		},
		Check: checkLiteralSecret,
	})
}

func checkLiteralSecret(s *Subject, report func(Violation)) {
	for t := range s.texts() {
		secret, found := secretscan.Find(t.Name, t.Value)
		if !found {
			continue
		}
		seen := secret.Kind + " in plain text"
		if secret.Encoded {
			seen = secret.Kind + " in base64, which is plain text to everyone"
		}
		v := Violation{Path: t.Path, Container: t.Container, Message: seen, Fix: t.fromKeyVault()}
		if secret.Published {
			v.Max = policy.Warn
		}
		report(v)
	}
}
