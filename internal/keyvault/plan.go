package keyvault

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Plan tells the fetch container which secrets to get and where to put them.
// It stands in the pod's spec, so it holds names and never a value.
type Plan struct {
	Env   []EnvItem  `json:"env,omitempty"`
	Files []FileItem `json:"files,omitempty"`
	Exec  bool       `json:"exec,omitempty"` // the env file is for the agent's exec and not for the kubelet
}

// EnvItem is a value of the env file.
type EnvItem struct {
	Key string `json:"key"` // the generated name in the env file: K0, K1, …
	Reference
	// EnvName is the longest environment variable that takes the value: its length counts against the limit of execve.
	// It also stands in messages.
	EnvName string `json:"name"`
}

// FileItem is a file.
type FileItem struct {
	Volume string `json:"volume,omitempty"` // the pod's volume that it belongs to; empty is the directory of our own files
	Path   string `json:"path"`             // below the volume: relative, no "..", cleaned
	Reference
}

// ParsePlan decodes a plan, refusing unknown fields: they would be instructions that this version cannot follow.
func ParsePlan(text string) (Plan, error) {
	var p Plan
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return Plan{}, fmt.Errorf("%s: %w", PlanEnv, err)
	}
	if d.More() {
		return Plan{}, fmt.Errorf("%s: more than one JSON document", PlanEnv)
	}
	return p, nil
}
