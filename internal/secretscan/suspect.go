package secretscan

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	minLength  = 8
	minEntropy = 3.5 // bits a character: gitleaks' own threshold
	hexEntropy = 3.0 // 16 digits allow for 4 bits at most; detect-secrets' own threshold for them
)

var hexKey = regexp.MustCompile(`^(?i:[0-9a-f]{16,})$`)

// random says whether a value looks as nobody writes a word. What is shorter than 12 characters can't reach the
// threshold, so a password that short is told by the kinds of characters in it.
func random(value string, password bool) bool {
	entropy := Entropy(value)
	n := utf8.RuneCountInString(value)
	return entropy >= minEntropy || hexKey.MatchString(value) && entropy >= hexEntropy ||
		password && n < 12 && entropy >= 0.9*math.Log2(float64(n)) && kinds(value) >= 3
}

// kinds counts them: small letters, capitals, digits, others.
func kinds(value string) (n int) {
	for _, of := range []func(rune) bool{unicode.IsLower, unicode.IsUpper, unicode.IsDigit,
		func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }} {
		if strings.ContainsFunc(value, of) {
			n++
		}
	}
	return n
}

// Suspect says whether a name like DB_PASSWORD stands before a value that looks random.
func Suspect(name, value string) bool {
	value = strings.TrimSpace(cut(value))
	words := wordsOf(name)
	if len(value) < minLength || !secretName(words) {
		return false
	}
	value = strings.TrimPrefix(mask(value), "base64:") // Laravel's APP_KEY
	password := slices.ContainsFunc(words, isPassword)
	switch {
	case !literal(value), harmless.MatchString(value), !random(value, password):
		return false
	case strings.Contains(value, "/") && strings.ToLower(value) == value: // a path: base64 without a capital is no base64
		return false
	case password:
		return true
	}
	// SECRET, TOKEN and KEY also stand before the name of an object: SECRET=shop-db-credentials.
	return strings.ContainsFunc(value, func(r rune) bool { return unicode.IsDigit(r) || unicode.IsUpper(r) }) && !strings.ContainsAny(value, " \n") &&
		!objectName.MatchString(value)
}

// SecretName says whether a name is that of a secret, whatever stands behind it.
func SecretName(name string) bool { return secretName(wordsOf(name)) }

// Entropy is Shannon's, in bits a character.
func Entropy(text string) float64 {
	counts := map[rune]float64{}
	n := 0.0
	for _, r := range text {
		counts[r]++
		n++
	}
	sum := 0.0
	for _, c := range counts {
		sum -= c / n * math.Log2(c/n)
	}
	return sum
}

// Values that are no secrets: UUIDs, numbers, paths, URLs, host:port, dotted names (classes, hosts), references that
// another tool resolves, tokens of GitLab's CI jobs, a kind of token with its options (etcd's jwt,priv-key=/jwt.pem), public keys and certificates. Dotted names may stand in a list: Django's PASSWORD_HASHERS.
var harmless = regexp.MustCompile(`^(?i:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[-+]?[0-9][0-9_.,:]*[a-z]{0,2}|true|false|` +
	`\.{0,2}/\S*|~/\S*|[a-z]:\\.*|[a-z][a-z0-9+.-]*://.*|[a-z0-9.-]+:\d+(/\S*)?|(?-i:` + dotted + `(,\s*` + dotted + `)*)|` +
	`(vault|bao|file|azure:keyvault|gcp:secretmanager|aws:secretsmanager|arn|ref\+[a-z0-9]+|env|secret):.*|glcbt-[\w-]*|.*@azurekeyvault(\?.*)?|projects/.*|` +
	`(ssh|ecdsa|sk)-[a-z0-9-]+ .*|[a-z]+(,[a-z-]+=[^,]+)+|-----BEGIN (CERTIFICATE|PUBLIC KEY|RSA PUBLIC KEY)-----(?s:.*))$`)

const dotted = `[a-z][\w-]*(\.[a-z][a-z0-9_-]*)*\.([a-z][a-z0-9_-]*|[A-Z][A-Za-z0-9$]*)`

// objectName is a name of words and short numbers, as objects and paths in a vault have: acr-pull-01, secret/data/shop/v2.
// It may end in the ten characters that Kustomize adds, and stand in a list.
var objectName = regexp.MustCompile(`^[\["\s]*` + object + `(["\s,]+` + object + `)*[\]"\s]*$`)

const object = `([a-z]+|v?\d{1,4})([-./]([a-z]+|v?\d{1,4}))+(-[bcdfghkmt0-9]{10})?`

var (
	secretWords = []string{"password", "passwd", "pwd", "pw", "passphrase", "passcode", "secret", "secrets", "token", "credential", "credentials", "apikey", "authkey", "accesskey", "secretkey", "privatekey", "requirepass", "authorization", "pgpassword", "sshpass"}
	// lastWords are others in the middle of a name: COMPASS is one word, but PASS_THROUGH is not.
	lastWords = []string{"pass", "pat", "auth"}
	// passwordWords name what people make up themselves, of words and blanks, too.
	passwordWords = []string{"password", "passwd", "pass", "pwd", "pw", "passphrase", "passcode", "requirepass", "authorization", "pgpassword", "sshpass"}
	// keyWords make a secret of a key: a cache key or a public key is none.
	keyWords = []string{"api", "access", "secret", "private", "account", "encryption", "encrypt", "decryption", "signing", "master", "shared", "storage", "subscription", "auth", "function", "hmac", "license", "cosmos", "search", "admin",
		"fernet", "app", "application", "speech", "translator", "vision", "maps", "openai", "cognitive", "services", "eventgrid", "grid"}
	// notSecret end the name of something about a secret.
	notSecret = []string{"file", "files", "path", "paths", "dir", "directory", "folder", "name", "names", "id", "ids", "ttl", "url", "uri", "uris", "urls", "endpoint", "host",
		"hostname", "port", "server", "service", "address", "algorithm", "alg", "algo", "type", "kind", "timeout", "expiry", "expires", "expiration", "duration", "lifetime", "age", "interval",
		"length", "size", "limit", "count", "min", "max", "header", "issuer", "audience", "scope", "scopes", "prefix", "suffix", "enabled", "disabled", "required", "ref", "reference",
		"provider", "project", "manager", "mode", "regex", "pattern", "policy", "version", "format", "class", "encoder", "backend", "namespace", "store", "location", "mount", "volume", "user", "username", "field",
		"column", "claim", "rotation", "reset", "hash", "checksum", "digest", "fingerprint", "thumbprint", "cookie", "label", "labels", "selector", "template", "message", "description"}
	publicWords = []string{"public", "publishable", "anonymous"}
)

func isPassword(word string) bool { return slices.Contains(passwordWords, word) }

func secretName(words []string) bool {
	if len(words) == 0 || slices.Contains(notSecret, words[len(words)-1]) || slices.ContainsFunc(words, func(w string) bool { return slices.Contains(publicWords, w) }) {
		return false
	}
	for i, word := range words {
		switch {
		case slices.Contains(secretWords, word),
			slices.Contains(lastWords, word) && i == len(words)-1,
			word == "key" && i > 0 && slices.Contains(keyWords, words[i-1]):
			return true
		}
	}
	return false
}

// wordsOf takes a name apart: DB_PASSWORD, db-password, Db__Password, dbPassword and DBPassword are db and password.
func wordsOf(name string) (words []string) {
	runes := []rune(name)
	start := 0
	cut := func(end, next int) {
		if end > start {
			words = append(words, strings.ToLower(string(runes[start:end])))
		}
		start = next
	}
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			cut(i, i+1)
		case i > start && unicode.IsUpper(r) && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsUpper(runes[i-1]) && unicode.IsLower(runes[i+1])):
			cut(i, i)
		}
	}
	cut(len(runes), len(runes))
	return words
}
