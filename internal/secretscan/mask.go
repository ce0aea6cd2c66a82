package secretscan

import (
	"regexp"
	"slices"
	"strings"
)

// marker stands for what is filled in later, so is no literal.
const marker = "${}"

// fillIns are references and placeholders: of Key Vault, of Kubernetes and shells, of templates, and what people write
// by hand. A hand-written <…> holds nothing that would make it part of a URL, a connection string or a redirection.
var fillIns = regexp.MustCompile(strings.Join([]string{
	`\$\{@(?i:microsoft\.keyvault)\([^)]*\)\}`,
	`@(?i:microsoft\.keyvault)\([^)]*\)`,
	`@Twelvefold\(K\d{1,5}\)`, // what the agent's exec fills in
	`\$\([^()]*\)`,
	`\$\{[^{}]*\}`,
	`\{\{.*?\}\}`,
	`#\{[^{}]*\}#?`,
	`\$[A-Z_][A-Z0-9_]+`,
	`<[^<>\n=;@/|&]{1,64}>`,
	`\*{3,}`, `\.{3,}`, `…`, `x{8,}`, `X{8,}`,
	`%%[\w ]+%%`, `ENC\[[^\]]*\]`, // Datadog's
	`[A-Z0-9]{9}EXAMPLE\b`, `EXAMPLEKEY\b`, // keys in AWS' documentation
}, "|"))

// fillInHints are cheap: without one of them there is no placeholder.
var fillInHints = []string{"$", "<", "{{", "#{", "***", "...", "…", "xxxxxxxx", "XXXXXXXX", "%%", "ENC[", "EXAMPLE", "@M", "@m", "@T"}

func containsAny(text string, hints []string) bool {
	return slices.ContainsFunc(hints, func(hint string) bool { return strings.Contains(text, hint) })
}

// mask replaces every reference and placeholder in a text by one that is easily told.
func mask(text string) string {
	if !containsAny(text, fillInHints) {
		return text
	}
	return fillIns.ReplaceAllLiteralString(text, marker)
}

// placeholder is a value that formatting functions and deployment tools fill in, or that was made unreadable.
var placeholder = regexp.MustCompile(`^(?:\$\w+|%[0-9]*\$?[sv]|\{\w*\}|%\w+%|__\w+__|[xX]{3,}|%\(\w+\)s|\[?REDACTED\]?)$`)

// literal says whether a value of a masked text is what it seems: not empty, and nothing of it is filled in later.
func literal(value string) bool {
	return value != "" && !strings.Contains(value, marker) && !placeholder.MatchString(value)
}
