package manifest

import (
	"encoding/json"
	"fmt"
	"strings"

	kjson "sigs.k8s.io/json"
)

// Template is the pod in an object: the object itself if it is a Pod, else its pod template.
type Template struct {
	JSON json.RawMessage
	Path string // spec.template, or empty for a Pod
}

// Pointer is the path as a JSON Pointer: /spec/template.
func (t Template) Pointer() string {
	if t.Path == "" {
		return ""
	}
	return "/" + strings.ReplaceAll(t.Path, ".", "/")
}

// Field is a field of the pod as a field of the object: spec.template.spec.containers[0].
func (t Template) Field(path string) string {
	if t.Path == "" {
		return path
	}
	return t.Path + "." + path
}

// templates are the workloads that make pods, by API group and kind.
var templates = map[string]string{
	"/Pod":                   "",
	"/ReplicationController": "spec.template",
	"apps/Deployment":        "spec.template",
	"apps/StatefulSet":       "spec.template",
	"apps/DaemonSet":         "spec.template",
	"apps/ReplicaSet":        "spec.template",
	"batch/Job":              "spec.template",
	"batch/CronJob":          "spec.jobTemplate.spec.template",
}

// Template finds the pod in the object; ok is false for kinds that have none.
func (o Object) Template() (t Template, ok bool, err error) {
	group, _, hasGroup := strings.Cut(o.APIVersion, "/")
	if !hasGroup {
		group = ""
	}
	path, ok := templates[group+"/"+o.Kind]
	if !ok {
		return Template{}, false, nil
	}
	data := o.JSON
	for _, field := range strings.Split(path, ".") {
		if field == "" {
			break
		}
		var fields map[string]json.RawMessage
		if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &fields); err != nil {
			return Template{}, false, fmt.Errorf("%s %s: %s: %w", o.Kind, o.Name, path, err)
		}
		if data = fields[field]; data == nil {
			return Template{}, false, fmt.Errorf("%s %s: %s is missing (if it is a patch, build what it belongs to: kubectl kustomize DIR | twelvefold check -f -)", o.Kind, o.Name, path)
		}
	}
	return Template{JSON: data, Path: path}, true, nil
}
