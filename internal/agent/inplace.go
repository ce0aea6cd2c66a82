package agent

import (
	"os"
	"path/filepath"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/envfile"
)

// isInPlace reports whether all that the plan wants is there from an earlier run, whose last deed is to note the versions.
func (d *delivery) isInPlace(p keyvault.Plan) bool {
	had, ok := d.noted()
	if !ok || len(p.Env)+len(p.Files) == 0 {
		return false
	}
	for _, r := range referencesOf(p) {
		if _, ok := had[r.Object()]; !ok && !r.Optional {
			return false
		}
	}
	for _, item := range p.Files {
		if _, ok := had[item.Object()]; ok && !exists(d.volumeDir(item.Volume), item.Path) {
			return false
		}
	}
	switch {
	case p.Exec:
		return d.hasExec(p, had)
	case len(p.Env) > 0:
		return exists(filepath.Dir(d.envFile), filepath.Base(d.envFile))
	}
	return true
}

func (d *delivery) hasExec(p keyvault.Plan, had versions) bool {
	content, err := os.ReadFile(d.envPath(p))
	if err != nil {
		return false
	}
	values, err := envfile.DecodeExec(content)
	if err != nil || !exists(d.binDir, executableName) {
		return false
	}
	for _, e := range p.Env {
		_, wanted := had[e.Object()]
		if _, ok := values[e.Key]; wanted && !ok {
			return false
		}
	}
	return true
}

// exists reports whether there is a file, without leaving the directory.
func exists(dir, name string) bool {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false
	}
	defer root.Close()
	info, err := root.Stat(name)
	return err == nil && info.Mode().IsRegular()
}
