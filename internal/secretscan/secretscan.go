// Package secretscan says whether a text holds a secret, and of what kind. It never says what the secret is: kinds are
// constants, so what is printed of a result can't leak.
//
// A reference to a secret is none: $(VAR), ${VAR}, {{ .Values.x }}, <password>, *** and Key Vault references are masked
// before anything is looked for.
package secretscan

import (
	"slices"
	"strings"
)

// Secret is what was found.
type Secret struct {
	Kind      string // "Azure storage account key"
	Encoded   bool   // in base64
	Published bool   // an emulator's documented key, which protects nothing
}

// Find looks for secrets that are certain by their form. name is that of the variable, flag or header whose value the
// text is, or empty: some secrets have no form of their own, but with their name they have.
func Find(name, text string) (Secret, bool) {
	text = cut(text)
	if s, ok := find(name, mask(text)); ok {
		return s, true
	}
	for _, decoded := range decode(text) {
		if s, ok := find(name, mask(decoded)); ok {
			s.Encoded = true
			return s, true
		}
	}
	return Secret{}, false
}

func find(name, text string) (Secret, bool) {
	if kind, ok := token(text); ok && !forBrowsers(name, kind) {
		return Secret{Kind: kind}, true
	}
	if s, ok := connectionString(text); ok {
		return s, true
	}
	return named(name, text)
}

// forVisitors are kinds of keys that some apps give to every visitor, under names that say so.
var forVisitors = []string{"Google API key", "JWT"}

// forBrowsers says whether the name tells that a key goes to every visitor: those of Firebase and Supabase are made for
// it. Secrets of other kinds have no business there.
func forBrowsers(name, kind string) bool {
	return slices.Contains(forVisitors, kind) && slices.ContainsFunc([]string{"NEXT_PUBLIC_", "NUXT_PUBLIC_", "EXPO_PUBLIC_", "PUBLIC_", "VITE_", "REACT_APP_", "VUE_APP_"}, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	})
}

// maxText is the longest argument or variable that Linux hands to a program, in bytes (MAX_ARG_STRLEN): what is longer
// never runs, and must not keep the webhook busy.
const maxText = 128 << 10

func cut(text string) string { return text[:min(len(text), maxText)] }
