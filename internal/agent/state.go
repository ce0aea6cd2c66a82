package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/azure"
)

// The files of the state directory. It is a volume of the pod, so they outlive restarts of containers.
const (
	versionsFile = "versions.json" // what fetch and sync delivered last
	restartFile  = "restart.json"  // when sync last had the pod restarted
)

// versions are the versions that were delivered. An optional object that was missing is not in them.
type versions map[keyvault.Object]string

// delivered is an entry of the file of versions: names only.
type delivered struct {
	Vault   string        `json:"vault"`
	Type    keyvault.Type `json:"type,omitempty"`
	Name    string        `json:"object"`
	Pinned  string        `json:"pinned,omitempty"` // the version that the plan asks for
	Version string        `json:"version"`
}

func versionsOf(contents azure.Contents) versions {
	out := versions{}
	for object, content := range contents {
		out[object] = content.Version
	}
	return out
}

// note writes versions to the state directory, if there is one.
func (d *delivery) note(p keyvault.Plan, v versions) error {
	var entries []delivered
	seen := map[keyvault.Object]bool{}
	for _, r := range referencesOf(p) {
		o := r.Object()
		if version, ok := v[o]; ok && !seen[o] {
			seen[o] = true
			entries = append(entries, delivered{o.Vault, o.Type, o.Name, o.Version, version})
		}
	}
	err := d.writeState(versionsFile, entries)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// noted reads what was delivered; ok is false if that isn't known.
func (d *delivery) noted() (v versions, ok bool) {
	var entries []delivered
	if err := d.readState(versionsFile, &entries); err != nil {
		return nil, false
	}
	v = versions{}
	for _, e := range entries {
		v[keyvault.Object{Vault: e.Vault, Type: e.Type, Name: e.Name, Version: e.Pinned}] = e.Version
	}
	return v, true
}

// lastRestart is when sync last had the pod restarted, or zero.
func (d *delivery) lastRestart() (time.Time, error) {
	var at time.Time
	err := d.readState(restartFile, &at)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	return at, err
}

func (d *delivery) noteRestart(at time.Time) error { return d.writeState(restartFile, at) }

func (d *delivery) writeState(name string, content any) error {
	text, err := json.Marshal(content)
	if err != nil {
		return err
	}
	dir, err := os.OpenRoot(d.stateDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return install(dir, name, bytes.NewReader(text), 0o644)
}

func (d *delivery) readState(name string, content any) error {
	text, err := os.ReadFile(filepath.Join(d.stateDir, name))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, content)
}
