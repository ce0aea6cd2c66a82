// Package logs knows how applications send their logs elsewhere than to stdout, and what brings them back.
package logs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// PlanEnv is the environment variable of the tail container that holds its [Plan] as JSON.
const PlanEnv = "TWELVEFOLD_LOGS"

// Plan tells the tail sidecar which files to stream to stdout.
type Plan struct {
	Files []File `json:"files"`
}

// File is one log file of one container. Its name may be a glob in the last element.
type File struct {
	Container string `json:"container"`
	Path      string `json:"path"` // as the application knows it: /var/log/app/app.log
	Mount     string `json:"at"`   // where the sidecar sees it: /logs/0/app.log
}

// ParsePlan decodes a plan, refusing unknown fields: they would be instructions that this version cannot follow.
func ParsePlan(text string) (Plan, error) {
	var p Plan
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return Plan{}, fmt.Errorf("%s: %w", PlanEnv, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Plan{}, fmt.Errorf("%s: text after the plan's closing brace", PlanEnv)
	}
	if len(p.Files) == 0 {
		return Plan{}, fmt.Errorf("%s: files: empty; name at least one log file", PlanEnv)
	}
	for i, f := range p.Files {
		if err := f.validate(); err != nil {
			return Plan{}, fmt.Errorf("%s: files[%d].%w", PlanEnv, i, err)
		}
	}
	return p, nil
}

func (f File) validate() error {
	if f.Container == "" {
		return errors.New("container: empty; name the container that writes the file")
	}
	if err := ValidatePath(f.Path); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	if err := ValidatePath(f.Mount); err != nil {
		return fmt.Errorf("at: %w", err)
	}
	if IsGlob(path.Base(f.Path)) != IsGlob(path.Base(f.Mount)) {
		return fmt.Errorf("at: %q and path %q must both be globs or both be names", f.Mount, f.Path)
	}
	return nil
}

// IsGlob reports whether name, the last element of a path, is a pattern of [path.Match] and not a plain name.
func IsGlob(name string) bool { return strings.ContainsAny(name, `*?[`) }

// ValidatePath says what is wrong with the path of a log file.
func ValidatePath(p string) error {
	switch dir, base := path.Split(p); {
	case !path.IsAbs(p) || path.Clean(p) != p || base == "" || strings.ContainsRune(p, 0):
		return fmt.Errorf("%q is not an absolute, clean path of a file, like /var/log/app/app.log", p)
	case IsGlob(dir):
		return fmt.Errorf("%q has a glob in a directory; only the last element may be one", p)
	default:
		if _, err := path.Match(base, ""); err != nil {
			return fmt.Errorf("%q: %w", p, err)
		}
		return nil
	}
}
