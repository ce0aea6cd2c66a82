package keyvault

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// marker begins a reference as App Service and Azure Functions write it, in any case:
// https://learn.microsoft.com/azure/app-service/app-service-key-vault-references
const marker = "@Microsoft.KeyVault("

// Hosts turns names of vaults into whole hosts, and refuses hosts that are no vaults.
type Hosts struct {
	Cloud    string   // public (also if empty), china, usgov: where a bare name is
	Suffixes []string // DNS suffixes that are allowed beside those of the clouds
}

var cloudSuffixes = map[string]string{
	"": "vault.azure.net", "public": "vault.azure.net", "china": "vault.azure.cn", "usgov": "vault.usgovcloudapi.net",
}

var vaultName = regexp.MustCompile(`^[a-z](-?[a-z0-9])+$`)

// Host is the host of a vault that is given by name, by host, or by URL.
func (h Hosts) Host(vault string) (string, error) {
	text := strings.ToLower(strings.TrimSpace(vault))
	if rest, ok := strings.CutPrefix(text, "https://"); ok {
		text = strings.TrimSuffix(rest, "/")
	}
	name, suffix, whole := strings.Cut(text, ".")
	if !whole {
		suffix = cloudSuffixes[h.Cloud]
	}
	if len(name) < 3 || len(name) > 24 || !vaultName.MatchString(name) {
		return "", errors.New("the vault's name must be 3 to 24 letters, digits and single hyphens, beginning with a letter" + offender(name))
	}
	if !slices.Contains(h.suffixes(), suffix) {
		return "", fmt.Errorf("the vault's host must end in one of %s; the policy's keyVault.dnsSuffixes may add to them", strings.Join(h.suffixes(), ", "))
	}
	return name + "." + suffix, nil
}

func (h Hosts) suffixes() []string {
	all := []string{cloudSuffixes["public"], cloudSuffixes["china"], cloudSuffixes["usgov"]}
	for _, s := range h.Suffixes {
		if s = strings.ToLower(strings.Trim(s, ". ")); s != "" {
			all = append(all, s)
		}
	}
	return all
}

// secret checks the names and puts them together.
func (h Hosts) secret(vault, name, version string) (Reference, error) {
	host, err := h.Host(vault)
	version = strings.ToLower(version)
	wrong := func(text string) {
		if err != nil {
			text = err.Error() + "; " + text
		}
		err = errors.New(text)
	}
	if !planSecret.MatchString(name) {
		wrong("the secret's name must be 1 to 127 letters, digits and hyphens" + offender(name))
	}
	if !planVersion.MatchString(version) {
		wrong("the version must be 32 hex digits")
	}
	if err != nil {
		return Reference{}, err
	}
	return Reference{Vault: host, Name: name, Version: version}, nil
}

// offender points at the first character that does not belong into a name. It shows nothing else of the text, which may
// be a secret that was written in the wrong place.
func offender(name string) string {
	for i, r := range name {
		if r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return fmt.Sprintf(" (it has %s at %d)", strconv.QuoteRuneToASCII(r), i+1)
		}
	}
	return ""
}

// Parse reads a reference as annotations and policies hold it: NAME[/VERSION] in the default vault, the URL of an object,
// or App Service's syntax; the first two may end in a query, see [applyQuery]. Errors show nothing of the text.
func (h Hosts) Parse(text, defaultVault string) (Reference, error) {
	text = strings.TrimSpace(text)
	if hasMarker(text) {
		return h.parseMarked(text)
	}
	text, query, hasQuery := strings.Cut(text, "?")
	parse := h.parseURL
	if !hasScheme(text) {
		parse = func(text string) (Reference, error) { return h.parseName(text, defaultVault) }
	}
	ref, err := parse(text)
	if err == nil && hasQuery {
		err = ref.applyQuery(query, hasScheme(text))
	}
	if err != nil {
		return Reference{}, err
	}
	return ref, nil
}

// parseName reads NAME[/VERSION].
func (h Hosts) parseName(text, vault string) (Reference, error) {
	name, version, versioned := strings.Cut(text, "/")
	switch {
	case versioned && version == "":
		return Reference{}, errors.New("a version must follow the slash")
	case vault == "":
		return Reference{}, errors.New("it names no vault, and there is no default one")
	}
	return h.secret(vault, name, version)
}

func hasScheme(text string) bool {
	return len(text) >= len("https://") && strings.EqualFold(text[:len("https://")], "https://")
}

// collections are the types by the word that stands before the name in a URL.
var collections = map[string]Type{"secrets": SecretType, "certificates": CertificateType, "keys": KeyType}

// parseURL reads https://HOST/secrets/NAME[/VERSION][/], or /certificates/ or /keys/.
func (h Hosts) parseURL(text string) (Reference, error) {
	if !hasScheme(text) {
		return Reference{}, errors.New("the secret's URL must begin with https://")
	}
	parts := strings.Split(strings.TrimSuffix(text[len("https://"):], "/"), "/")
	if len(parts) < 3 || len(parts) > 4 || !strings.Contains(parts[0], ".") {
		return Reference{}, errURL
	}
	kind, known := collections[strings.ToLower(parts[1])]
	if !known {
		return Reference{}, errURL
	}
	ref, err := h.secret(parts[0], parts[2], strings.Join(parts[3:], ""))
	if err != nil {
		return Reference{}, err
	}
	ref.Type = kind
	return ref, nil
}

var errURL = errors.New("the secret's URL must be https://HOST/secrets/NAME[/VERSION]; certificates and keys may stand for secrets")

// parseMarked reads @Microsoft.KeyVault(key=value;…).
func (h Hosts) parseMarked(text string) (Reference, error) {
	body, closed := strings.CutSuffix(text[len(marker):], ")")
	if !closed || strings.Contains(body, ")") {
		return Reference{}, errors.New("the reference must end with its )")
	}
	fields, err := fieldsOf(body)
	if err != nil {
		return Reference{}, err
	}
	uri, hasURI := fields["secreturi"]
	vault, hasVault := fields["vaultname"]
	name, hasName := fields["secretname"]
	version, hasVersion := fields["secretversion"]
	var secret Reference
	switch {
	case hasURI && (hasVault || hasName || hasVersion):
		err = errors.New("SecretUri excludes VaultName, SecretName and SecretVersion")
	case hasURI:
		if secret, err = h.parseURL(uri); err == nil && secret.Type != SecretType {
			err = errors.New("SecretUri must be that of a secret, /secrets/NAME; a certificate's is the certificate with its private key")
		}
	case hasVault && hasName:
		secret, err = h.secret(vault, name, version)
	default:
		err = errors.New("SecretUri, or VaultName and SecretName, must be given")
	}
	if err != nil {
		return Reference{}, err
	}
	optional, set := fields["optional"]
	if set && !strings.EqualFold(optional, "true") && !strings.EqualFold(optional, "false") {
		return Reference{}, errors.New("its Optional must be true or false")
	}
	secret.Optional = strings.EqualFold(optional, "true")
	return secret, nil
}

// fieldsOf splits key=value;… with keys in lower case.
func fieldsOf(body string) (map[string]string, error) {
	fields := map[string]string{}
	for field := range strings.SplitSeq(body, ";") {
		if strings.TrimSpace(field) == "" {
			continue
		}
		key, value, _ := strings.Cut(field, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		switch key {
		case "secreturi", "vaultname", "secretname", "secretversion", "optional":
		default:
			return nil, errors.New("it has a part that is none of SecretUri=, VaultName=, SecretName=, SecretVersion=, Optional=")
		}
		if _, twice := fields[key]; twice {
			return nil, errors.New("a part of it is given twice")
		}
		fields[key] = strings.TrimSpace(value)
	}
	return fields, nil
}

// hasMarker says whether a reference in App Service's syntax begins here.
func hasMarker(text string) bool {
	return len(text) >= len(marker) && strings.EqualFold(text[:len(marker)], marker)
}

// ValidPath says whether a file may have this path below the directory of files: relative, and of plain names.
func ValidPath(path string) bool { return plainPath.MatchString(path) && localPath(path) }

var plainPath = regexp.MustCompile(`^[-._0-9a-zA-Z]+(/[-._0-9a-zA-Z]+)*$`)
