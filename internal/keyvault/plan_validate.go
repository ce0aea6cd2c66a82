package keyvault

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// What a plan may name. The webhook writes nothing else; the agent checks again, because a plan is part of a pod, which anyone who may
// create pods can write by hand, and these names become parts of URLs and paths.
var (
	planKey     = regexp.MustCompile(`^K[0-9]{1,5}$`)
	planVault   = regexp.MustCompile(`^[a-z](-?[a-z0-9]){2,23}(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$`)
	planSecret  = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)
	planVolume  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	planVersion = regexp.MustCompile(`^([0-9a-f]{32})?$`)
)

// Validate reports everything that is wrong with a plan, each with its place, or nil.
func (p Plan) Validate() error {
	var errs []error
	bad := func(place, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s: %s", PlanEnv, place, fmt.Sprintf(format, args...)))
	}
	if len(p.Env)+len(p.Files) == 0 {
		bad("plan", "it names nothing to fetch")
	}
	seen := map[string]bool{}
	for i, e := range p.Env {
		place := fmt.Sprintf("env[%d]", i)
		switch {
		case !planKey.MatchString(e.Key):
			bad(place, "key %q is none of K0, K1, …", e.Key)
		case seen[e.Key]:
			bad(place, "key %s is there twice", e.Key)
		}
		seen[e.Key] = true
		if e.EnvName == "" || strings.ContainsAny(e.EnvName, "=\x00") {
			bad(place, "%q is no name of an environment variable", e.EnvName)
		}
		e.Reference.validate(place, bad)
	}
	clear(seen)
	for i, f := range p.Files {
		place := fmt.Sprintf("files[%d]", i)
		switch {
		case !localPath(f.Path):
			bad(place, "path %q is not a clean relative path", f.Path)
		case f.Volume != "" && !planVolume.MatchString(f.Volume):
			bad(place, "volume %q is no name of a volume", f.Volume)
		case seen[f.Volume+"/"+f.Path]:
			bad(place, "path %q is there twice", f.Path)
		}
		seen[f.Volume+"/"+f.Path] = true
		f.Reference.validate(place, bad)
	}
	return errors.Join(errs...)
}

func (r Reference) validate(place string, bad func(place, format string, args ...any)) {
	if !planVault.MatchString(r.Vault) {
		bad(place, "vault %q is no host of a vault", r.Vault)
	}
	if !planSecret.MatchString(r.Name) {
		bad(place, "name %q is none of an object: letters, digits and hyphens, at most 127", r.Name)
	}
	if !planVersion.MatchString(r.Version) {
		bad(place, "version %q is not 32 hex digits", r.Version)
	}
	if problem := r.renderingProblem(); problem != "" {
		bad(place, "%s", problem)
	}
}

// localPath reports whether a path stays below the directory that it is joined to, and is written the shortest way. Names
// that begin with .. belong to what swaps the files, such as ..data.
func localPath(p string) bool {
	return p != "." && !strings.ContainsRune(p, 0) && !path.IsAbs(p) && path.Clean(p) == p && !strings.HasPrefix(p, "..")
}

// renderingProblem tells what is wrong with how a reference's object is to be written, or returns "".
func (r Reference) renderingProblem() string {
	switch {
	case r.Type != SecretType && r.Type != CertificateType && r.Type != KeyType:
		return fmt.Sprintf("type %q is none of secret, cert, key", r.Type)
	case r.Encoding != UTF8 && r.Encoding != Hex && r.Encoding != Base64:
		return fmt.Sprintf("encoding %q is none of utf-8, hex, base64", r.Encoding)
	case r.Encoding != UTF8 && r.Type != SecretType:
		return "only a secret has an encoding"
	case r.Field != "" && r.Type != SecretType:
		return "only a secret has fields"
	case r.Mode&^0o777 != 0:
		return fmt.Sprintf("mode %#o has more than permission bits", r.Mode)
	}
	switch r.Format {
	case PEM:
	case PrivateKey, Username, Password:
		return r.partProblem()
	case PFX:
		if r.Type == SecretType {
			return ""
		}
		return "only the secret of a certificate can be written as pfx"
	case DER:
		if r.Type != CertificateType {
			return "only a certificate can be written as der"
		}
	case Modulus:
		if r.Type != KeyType {
			return "only a key can be written as its modulus"
		}
	default:
		return fmt.Sprintf("format %q is none of pem, pfx, der, modulus, private-key, username, password", r.Format)
	}
	return ""
}
