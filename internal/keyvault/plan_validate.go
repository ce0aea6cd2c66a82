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
		e.Secret.validate(place, bad)
	}
	clear(seen)
	for i, f := range p.Files {
		place := fmt.Sprintf("files[%d]", i)
		switch {
		case !localPath(f.Path):
			bad(place, "path %q is not a clean relative path", f.Path)
		case seen[f.Path]:
			bad(place, "path %q is there twice", f.Path)
		}
		seen[f.Path] = true
		if f.Mode&^0o777 != 0 {
			bad(place, "mode %#o has more than permission bits", f.Mode)
		}
		f.Secret.validate(place, bad)
	}
	return errors.Join(errs...)
}

func (s Secret) validate(place string, bad func(place, format string, args ...any)) {
	if !planVault.MatchString(s.Vault) {
		bad(place, "vault %q is no host of a vault", s.Vault)
	}
	if !planSecret.MatchString(s.Name) {
		bad(place, "secret %q is no name of a secret: letters, digits and hyphens, at most 127", s.Name)
	}
	if !planVersion.MatchString(s.Version) {
		bad(place, "version %q is not 32 hex digits", s.Version)
	}
}

// localPath reports whether a path stays below the directory that it is joined to, and is written the shortest way.
func localPath(p string) bool {
	return p != "." && !strings.ContainsRune(p, 0) && !path.IsAbs(p) && path.Clean(p) == p && p != ".." && !strings.HasPrefix(p, "../")
}

// String names the secret for messages.
func (s Secret) String() string {
	if s.Version != "" {
		return fmt.Sprintf("secret %s (version %s) in vault %s", s.Name, s.Version, s.Vault)
	}
	return fmt.Sprintf("secret %s in vault %s", s.Name, s.Vault)
}
