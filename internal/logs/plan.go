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
	// MetricsPort is where the sidecar serves /metrics: lines, bytes, lag and truncations of every entry. 0 serves none.
	MetricsPort int `json:"metricsPort,omitempty"`
}

// File is one log file of one container. Its name may be a glob in the last element.
type File struct {
	Container string `json:"container"`
	Path      string `json:"path"` // as the application knows it: /var/log/app/app.log
	Mount     string `json:"at"`   // where the sidecar sees it: /logs/0/app.log
	// MaxDisk is how many bytes the log may take with its rotated files before those that were renamed and are on stdout
	// are deleted, the oldest first. 0 deletes nothing, which is right for a volume that outlives the pod.
	MaxDisk int64 `json:"maxDisk,omitempty"`
}

// Envelope reports whether the sidecar writes JSON lines with the members file, container and log, because the plan may name
// several files. Otherwise lines arrive as the application wrote them.
func (p Plan) Envelope() bool {
	return len(p.Files) > 1 || len(p.Files) == 1 && IsGlob(path.Base(p.Files[0].Mount))
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
	if p.MetricsPort < 0 || p.MetricsPort > 65535 {
		return Plan{}, fmt.Errorf("%s: metricsPort: %d is not a port; write 1 to 65535, or 0 for none", PlanEnv, p.MetricsPort)
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
	if f.MaxDisk < 0 {
		return fmt.Errorf("maxDisk: %d is negative; write a number of bytes, or 0 to delete nothing", f.MaxDisk)
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
