package keyvault

import (
	"errors"
	"regexp"
	"slices"
	"strings"
)

// Value is the value of an environment variable, taken apart.
type Value struct {
	Parts []Part
	Stray []error // references that stand where they are not resolved, and how to write them instead
	Wrong []error // references that can't be read
}

// Part is literal text or, with a secret, a reference.
type Part struct {
	Text   string
	Secret *Reference
}

// WholeValue is a value that is nothing but a reference, or one that can't be read.
func WholeValue(ref Reference, err error) Value {
	if err != nil {
		return Value{Wrong: []error{err}}
	}
	return Value{Parts: []Part{{Secret: &ref}}}
}

// Whole is the secret whose value is all of the variable's value, or nil.
func (v Value) Whole() *Reference {
	if len(v.Parts) == 1 {
		return v.Parts[0].Secret
	}
	return nil
}

// HasReference says whether there is a reference.
func (v Value) HasReference() bool {
	for _, p := range v.Parts {
		if p.Secret != nil {
			return true
		}
	}
	return false
}

// IsReference says whether a value is or holds a reference, right or wrong, in any of the syntaxes.
func (h Hosts) IsReference(value string) bool {
	if _, _, is := Akv2k8s(value); is || IsBankVaults(value) {
		return true
	}
	parsed := h.ParseValue(value)
	return parsed.HasReference() || len(parsed.Wrong) > 0
}

var (
	errBare    = errors.New("a Key Vault reference inside a longer value is not resolved; write ${@Microsoft.KeyVault(…)}")
	errEscaped = errors.New("$$ before { keeps a Key Vault reference from being resolved; for a dollar sign and a secret write $$${@Microsoft.KeyVault(…)}")
	errInside  = errors.New("a Key Vault reference inside $(…) is not resolved; write ${@Microsoft.KeyVault(…)} outside of it")
)

// ParseValue finds the references in a value: the whole value, or ${…} in a longer one. The value is read as the kubelet
// does when it expands $(VAR) and $$, so that what stands beside a reference keeps its meaning.
func (h Hosts) ParseValue(value string) Value {
	if trimmed := strings.TrimSpace(value); hasMarker(trimmed) {
		if end := strings.IndexByte(trimmed, ')'); end < 0 || end == len(trimmed)-1 {
			return WholeValue(h.parseMarked(trimmed))
		}
	}
	s := scanner{hosts: h, lastClose: strings.LastIndexByte(value, ')')}
	text := 0 // where the literal text begins that is not in a part yet
	for i := 0; i < len(value); {
		size, found := s.token(value[i:], s.lastClose >= i)
		if found != nil {
			if text < i {
				s.Parts = append(s.Parts, Part{Text: value[text:i]})
			}
			s.Parts = append(s.Parts, Part{Secret: found})
			text = i + size
		}
		i += size
	}
	if text < len(value) || len(s.Parts) == 0 {
		s.Parts = append(s.Parts, Part{Text: value[text:]})
	}
	return s.Value
}

type scanner struct {
	Value
	hosts     Hosts
	lastClose int // of the last ), so that text without one is not searched for it again and again
}

func (s *scanner) stray(err error) {
	if !slices.Contains(s.Stray, err) {
		s.Stray = append(s.Stray, err)
	}
}

func (s *scanner) wrong(err error) {
	if !slices.ContainsFunc(s.Wrong, func(e error) bool { return e.Error() == err.Error() }) {
		s.Wrong = append(s.Wrong, err)
	}
}

// token reads one step of the kubelet's expansion (k8s.io/kubernetes/third_party/forked/golang/expansion): its length, and
// the reference that it is.
func (s *scanner) token(rest string, closes bool) (size int, found *Reference) {
	switch {
	case strings.HasPrefix(rest, "$$"):
		if inBraces(rest[2:]) {
			s.stray(errEscaped)
			return 3 + strings.IndexByte(rest[2:], '@'), nil
		}
		return 2, nil
	case strings.HasPrefix(rest, "$(") && closes:
		end := strings.IndexByte(rest, ')')
		for i := range rest[:end] {
			if hasMarker(rest[i:]) {
				s.stray(errInside)
			}
		}
		return end + 1, nil
	case strings.HasPrefix(rest, "${") && inBraces(rest[1:]):
		return s.braced(rest)
	case hasMarker(rest):
		s.stray(errBare)
	}
	return 1, nil
}

var braces = regexp.MustCompile(`^\{[ \t]*@`)

// inBraces says whether {@Microsoft.KeyVault( begins here.
func inBraces(rest string) bool {
	at := braces.FindStringIndex(rest)
	return at != nil && hasMarker(rest[at[1]-1:])
}

// braced reads ${@Microsoft.KeyVault(…)}.
func (s *scanner) braced(rest string) (size int, found *Reference) {
	start := strings.IndexByte(rest, '@')
	end := strings.IndexByte(rest[:min(len(rest), start+maxReference)], ')')
	after := ""
	if end > 0 {
		after = strings.TrimLeft(rest[end+1:], " \t")
	}
	if !strings.HasPrefix(after, "}") {
		s.wrong(errors.New("the reference must end with )}"))
		return start + 1, nil
	}
	secret, err := s.hosts.parseMarked(rest[start : end+1])
	if err != nil {
		s.wrong(err)
		return end + 1, nil
	}
	return len(rest) - len(after) + 1, &secret
}

// Literal writes text that the kubelet does not expand, as that of a ConfigMap, as the value of a variable, which it does:
// what is no reference comes out as it is.
func Literal(text string) string {
	var out strings.Builder
	for i := range len(text) {
		if text[i] == '$' && !inBraces(text[i+1:]) {
			out.WriteByte('$')
		}
		out.WriteByte(text[i])
	}
	return out.String()
}

// maxReference is longer than any reference can be, in bytes.
const maxReference = 1024

// foreign are references of other tools. Those with a # after a path keep a host and port from being taken for one.
var foreign = []struct {
	pattern *regexp.Regexp
	tool    string
}{
	{regexp.MustCompile(`^(>>)?(vault|bao):[^#]+#.`), "HashiCorp Vault or OpenBao (vault:PATH#KEY)"},
	{regexp.MustCompile(`^gcp:secretmanager:.`), "bank-vaults for Google (gcp:secretmanager:NAME)"},
	{regexp.MustCompile(`^arn:aws[-a-z]*:secretsmanager:.`), "AWS Secrets Manager (arn:aws:secretsmanager:…)"},
	{regexp.MustCompile(`^op://.`), "1Password (op://…)"},
}

// Foreign is the tool whose reference a value is, or empty.
func Foreign(value string) string {
	if len(value) > maxReference {
		return ""
	}
	for _, f := range foreign {
		if f.pattern.MatchString(strings.TrimSpace(value)) {
			return f.tool
		}
	}
	return ""
}
