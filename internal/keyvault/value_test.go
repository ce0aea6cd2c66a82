package keyvault_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/keyvault"
)

// The references of the cases, by a short name that stands for them.
const (
	refA = "@Microsoft.KeyVault(VaultName=shop;SecretName=a)"
	refB = "@microsoft.keyvault( SecretUri = https://shop.vault.azure.net/secrets/b/ )"
)

func TestParseValue(t *testing.T) {
	for name, tc := range map[string]struct {
		value        string
		want         string // literals, and secrets as <a>
		stray, wrong int
	}{
		"empty":                     {"", "", 0, 0},
		"literal":                   {"info", "info", 0, 0},
		"whole":                     {refA, "<a>", 0, 0},
		"whole, with blanks":        {" " + refB + "\n", "<b>", 0, 0},
		"whole, in braces":          {"${" + refA + "}", "<a>", 0, 0},
		"blanks in braces":          {"x${ " + refA + " }", "x<a>", 0, 0},
		"two":                       {"${" + refA + "}:${" + refB + "}@$(HOST)", "<a>:<b>@$(HOST)", 0, 0},
		"dollar sign before":        {"$$${" + refA + "}", "$$<a>", 0, 0},
		"escaped":                   {"$${" + refA + "}", "$${" + refA + "}", 1, 0},
		"bare":                      {"x" + refA, "x" + refA, 1, 0},
		"two bare":                  {refA + refA, refA + refA, 1, 0},
		"after a lone dollar sign":  {"$" + refA, "$" + refA, 1, 0},
		"inside of a variable":      {"$(X${" + refA + "}", "$(X${" + refA + "}", 1, 0},
		"after a variable":          {"$(X)${" + refA + "}", "$(X)<a>", 0, 0},
		"braces of a shell":         {"${HOME}/${@X}", "${HOME}/${@X}", 0, 0},
		"not closed":                {"@Microsoft.KeyVault(VaultName=shop", "", 0, 1},
		"braces not closed":         {"${" + refA, "${" + refA, 1, 1},
		"wrong name in braces":      {"x${@Microsoft.KeyVault(VaultName=shop;SecretName=..)}", "x${@Microsoft.KeyVault(VaultName=shop;SecretName=..)}", 0, 1},
		"too long to be one":        {"${@Microsoft.KeyVault(" + strings.Repeat(" ", 2000) + ")}", "", 0, 1},
		"not the marker, by length": {"@MicroſoFt.KeyVault(x", "@MicroſoFt.KeyVault(x", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			v := keyvault.Hosts{}.ParseValue(tc.value)
			got := ""
			for _, p := range v.Parts {
				if p.Secret != nil {
					got += "<" + p.Secret.Name + ">"
				}
				got += p.Text
			}
			if tc.wrong == 0 && got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if len(v.Stray) != tc.stray && tc.wrong == 0 || len(v.Wrong) != tc.wrong {
				t.Errorf("stray %v, wrong %v", v.Stray, v.Wrong)
			}
		})
	}
}

// With references replaced by variables, the kubelet's own expansion gives what it gave the text beside them, and the
// secrets, literally.
func FuzzValue(f *testing.F) {
	for _, text := range []string{
		"postgres://a:${" + refA + "}@$(HOST)/$$(HOST)", "$$${" + refA + "}", "$${" + refA + "}", "$(A${" + refB + "}", "$(${" + refA + "})", "$" + refA,
		"${ " + refA + "\t}$", refA + "$(A)", "$$$(A)${" + refB + "}$(HOST",
	} {
		f.Add(text)
	}
	const secret = "$(HOST)$$" // must come out as it is
	variables := map[string]string{"HOST": "db", "A": "x", "HELPER": secret}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "HELPER") {
			return
		}
		v := keyvault.Hosts{}.ParseValue(text)
		if len(v.Wrong) > 0 {
			return
		}
		var written, want strings.Builder
		for _, p := range v.Parts {
			if p.Secret != nil {
				written.WriteString("$(HELPER)")
				want.WriteString(secret)
				continue
			}
			written.WriteString(p.Text)
			want.WriteString(expand(p.Text, variables))
		}
		if diff := cmp.Diff(want.String(), expand(written.String(), variables)); diff != "" {
			t.Errorf("%q becomes %q (-want +got):\n%s", text, written.String(), diff)
		}
	})
}

// expand does what the kubelet does: $(NAME) is the variable, or stays if there is none; $$ is a dollar sign.
func expand(text string, variables map[string]string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		end := strings.IndexByte(rest, ')')
		switch {
		case strings.HasPrefix(rest, "$$"):
			out.WriteByte('$')
			i++
		case strings.HasPrefix(rest, "$(") && end > 0:
			value, known := variables[rest[2:end]]
			if !known {
				value = rest[:end+1]
			}
			out.WriteString(value)
			i += end
		default:
			out.WriteByte(text[i])
		}
	}
	return out.String()
}

// Hostile values cost time in proportion to their length.
func TestHugeValues(t *testing.T) {
	for _, unit := range []string{"$(", "$", "${", "${@Microsoft.KeyVault(", "@Microsoft.KeyVault(", "$${@Microsoft.KeyVault(", "${@Microsoft.KeyVault()", "${ "} {
		for _, end := range []string{"", ")"} {
			text := strings.Repeat(unit, 1<<18/len(unit)) + end
			keyvault.Foreign(text)
			keyvault.IsBankVaults(text)
			keyvault.Akv2k8s(text)
			keyvault.Hosts{}.ParseValue(keyvault.Literal(text))
			v := keyvault.Hosts{}.ParseValue(text)
			if len(v.Wrong)+len(v.Stray) > 4 {
				t.Errorf("%q: %d complaints", unit, len(v.Wrong)+len(v.Stray))
			}
		}
	}
}

// The text of a ConfigMap is not expanded: as a variable's value it comes out the same, with secrets in place of
// references.
func FuzzLiteral(f *testing.F) {
	for _, text := range []string{"postgres://a:${" + refA + "}@h", "$$${" + refA + "}$(A)", "$(A${" + refB + "})$", "${HOME}$$(A)", refA, "$" + refA} {
		f.Add(text)
	}
	const secret = "$(A)$$"
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "HELPER") {
			return
		}
		v := keyvault.Hosts{}.ParseValue(keyvault.Literal(text))
		if len(v.Wrong) > 0 || v.Whole() != nil {
			return
		}
		var written, want strings.Builder
		rest := text
		for _, p := range v.Parts {
			if p.Secret == nil {
				written.WriteString(p.Text)
				continue
			}
			written.WriteString("$(HELPER)")
			start := strings.Index(rest, "${")
			for !inReference(rest[start:]) {
				start += 1 + strings.Index(rest[start+1:], "${")
			}
			end := start + strings.IndexByte(rest[start:], '}')
			want.WriteString(rest[:start] + secret)
			rest = rest[end+1:]
		}
		want.WriteString(rest)
		if diff := cmp.Diff(want.String(), expand(written.String(), map[string]string{"HELPER": secret, "A": "x"})); diff != "" {
			t.Errorf("%q becomes %q (-want +got):\n%s", text, written.String(), diff)
		}
	})
}

// inReference says whether ${ and a reference begin here.
func inReference(text string) bool {
	text = strings.TrimLeft(strings.TrimPrefix(text, "${"), " \t")
	return len(text) >= len("@Microsoft.KeyVault(") && strings.EqualFold(text[:len("@Microsoft.KeyVault(")], "@Microsoft.KeyVault(")
}
