// Package metricsmerge is what the webhook and the agent agree on about serving several metrics endpoints as one.
package metricsmerge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// PlanEnv is the environment variable of the merge container that holds its [Plan] as JSON.
	PlanEnv = "TWELVEFOLD_MERGE"
	// Path is where the merge container serves.
	Path = "/metrics"
	// SourceLabel is the label that tells which target a sample came from.
	SourceLabel = "twelvefold_source"
	// MaxTargets is how many targets a plan may have.
	MaxTargets = 32
)

// Plan tells the merge sidecar where it serves [Path], and which endpoints of the pod it serves there.
type Plan struct {
	Port    int32    `json:"port"`
	Targets []Target `json:"targets"`
}

// Target is one endpoint on 127.0.0.1.
type Target struct {
	Source string `json:"source"` // the value of [SourceLabel]: the container's name
	Port   int32  `json:"port"`
	Path   string `json:"path"`             // may have a query
	Scheme string `json:"scheme,omitempty"` // http, which is the default, or https
}

// URL is where the target is scraped.
func (t Target) URL() string {
	scheme := t.Scheme
	if scheme == "" {
		scheme = "http"
	}
	return fmt.Sprintf("%s://127.0.0.1:%d%s", scheme, t.Port, t.Path)
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
	if err := p.Validate(); err != nil {
		return Plan{}, fmt.Errorf("%s: %w", PlanEnv, err)
	}
	return p, nil
}

// Validate says what is wrong with a plan.
func (p Plan) Validate() error {
	if err := validatePort(p.Port); err != nil {
		return fmt.Errorf("port: %w", err)
	}
	if n := len(p.Targets); n == 0 || n > MaxTargets {
		return fmt.Errorf("targets: %d of them; name 1 to %d endpoints", n, MaxTargets)
	}
	sources, urls := map[string]int{}, map[string]int{}
	for i, t := range p.Targets {
		if err := t.validate(); err != nil {
			return fmt.Errorf("targets[%d].%w", i, err)
		}
		if t.Port == p.Port {
			return fmt.Errorf("targets[%d].port: %d is the port that merge serves on; choose another for merge", i, t.Port)
		}
		if first, ok := sources[t.Source]; ok {
			return fmt.Errorf("targets[%d].source: %q is that of targets[%d], too; their samples could not be told apart", i, t.Source, first)
		}
		if first, ok := urls[t.URL()]; ok {
			return fmt.Errorf("targets[%d]: port %d and path %q are those of targets[%d], too; every sample would come twice", i, t.Port, t.Path, first)
		}
		sources[t.Source], urls[t.URL()] = i, i
	}
	return nil
}

func (t Target) validate() error {
	switch {
	case t.Source == "":
		return errors.New("source: empty; name the container")
	case len(t.Source) > 253 || !utf8.ValidString(t.Source) || strings.ContainsFunc(t.Source, unicode.IsControl):
		return fmt.Errorf("source: %q is no name of a container", t.Source)
	case t.Scheme != "" && t.Scheme != "http" && t.Scheme != "https":
		return fmt.Errorf("scheme: %q is neither http nor https", t.Scheme)
	}
	if err := validatePort(t.Port); err != nil {
		return fmt.Errorf("port: %w", err)
	}
	if err := ValidatePath(t.Path); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	return nil
}

func validatePort(port int32) error {
	if port < 1 || port > 65535 {
		return fmt.Errorf("%d is no port; use 1 to 65535", port)
	}
	return nil
}

// ValidatePath says what is wrong with the path of an endpoint.
func ValidatePath(path string) error {
	u, err := url.ParseRequestURI(path)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.Contains(path, "#") {
		return fmt.Errorf("%q is not the path of a URL, like /metrics", path)
	}
	return nil
}
