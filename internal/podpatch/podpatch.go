// Package podpatch edits a pod and writes the JSON Patch that repeats the edit, in one call. It is the only writer of
// JSON Patch: a pod is never marshalled and compared, because that drops every field that is newer than our API types
// (azure-workload-identity#1312, berglas#264).
//
// Operations are "add", "replace", and "remove" of a field that our own "add" supersedes. Parents are created first: a
// patch that does not apply refuses the pod even under failurePolicy Ignore.
package podpatch

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gomodules.xyz/jsonpatch/v2"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/json"
)

// Builder holds a pod, and the operations that lead from the JSON it was decoded from to what it is now.
type Builder struct {
	raw         []byte // as it was read
	pod         corev1.Pod
	hasMetadata bool
	hasSpec     bool
	operations  []jsonpatch.Operation
	lists       [2][]*Container // init, main
}

// Decode reads a pod, or a pod template: both have metadata and spec. Duplicate keys are refused, for readers disagree
// on which of them counts.
func Decode(raw []byte) (*Builder, error) {
	b := &Builder{raw: raw}
	if string(bytes.TrimSpace(raw)) == "null" {
		return nil, errors.New("pod: it is null")
	}
	strict, err := json.UnmarshalStrict(raw, &b.pod, json.DisallowDuplicateFields)
	if err = errors.Join(append(strict, err)...); err != nil {
		return nil, fmt.Errorf("pod: %w", err)
	}
	if err := b.findParents(raw); err != nil {
		return nil, err
	}
	for i := range b.pod.Spec.InitContainers {
		b.lists[initList] = append(b.lists[initList], &Container{b: b, list: initList, index: i, origin: i})
	}
	for i := range b.pod.Spec.Containers {
		b.lists[mainList] = append(b.lists[mainList], &Container{b: b, list: mainList, index: i, origin: i})
	}
	return b, nil
}

// findParents looks at the JSON again where the typed pod leaves open whether metadata and spec are there, or whether a
// container is null.
func (b *Builder) findParents(raw []byte) error {
	nameless := func(c corev1.Container) bool { return c.Name == "" }
	b.hasMetadata = b.pod.Name != "" || b.pod.GenerateName != "" || len(b.pod.Annotations) > 0
	b.hasSpec = len(b.pod.Spec.Containers) > 0
	if b.hasMetadata && b.hasSpec && !slices.ContainsFunc(b.pod.Spec.InitContainers, nameless) && !slices.ContainsFunc(b.pod.Spec.Containers, nameless) {
		return nil
	}
	var parents struct {
		Metadata *struct{} `json:"metadata"`
		Spec     *struct {
			InitContainers []*struct{} `json:"initContainers"`
			Containers     []*struct{} `json:"containers"`
		} `json:"spec"`
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(raw, &parents); err != nil {
		return fmt.Errorf("pod: %w", err)
	}
	b.hasMetadata, b.hasSpec = parents.Metadata != nil, parents.Spec != nil
	if b.hasSpec && slices.Contains(append(parents.Spec.InitContainers, parents.Spec.Containers...), nil) {
		return errors.New("pod: a container is null")
	}
	return nil
}

// Pod is the pod as edited so far. It is for reading.
func (b *Builder) Pod() *corev1.Pod { return &b.pod }

// Operations are the edits so far.
func (b *Builder) Operations() []jsonpatch.Operation { return b.operations }

func (b *Builder) record(operation, path string, value any) {
	b.operations = append(b.operations, jsonpatch.Operation{Operation: operation, Path: path, Value: value})
}

// SetAnnotation sets an annotation; nothing is recorded if it has the value already.
func (b *Builder) SetAnnotation(key, value string) {
	b.setMetadata("annotations", &b.pod.Annotations, key, value)
}

// SetLabel sets a label; nothing is recorded if it has the value already.
func (b *Builder) SetLabel(key, value string) {
	b.setMetadata("labels", &b.pod.Labels, key, value)
}

func (b *Builder) setMetadata(field string, entries *map[string]string, key, value string) {
	if old, found := (*entries)[key]; found && old == value {
		return
	}
	if !b.hasMetadata {
		b.record("add", "/metadata", struct{}{})
		b.hasMetadata = true
	}
	if len(*entries) == 0 {
		*entries = map[string]string{}
		b.record("add", "/metadata/"+field, map[string]string{key: value})
	} else {
		b.record("add", "/metadata/"+field+"/"+escape(key), value)
	}
	(*entries)[key] = value
}

// AddVolume appends a volume.
func (b *Builder) AddVolume(v corev1.Volume) {
	b.needSpec()
	addItem(b, "/spec/volumes", &b.pod.Spec.Volumes, len(b.pod.Spec.Volumes), v)
}

// InsertInitContainer puts an init container before the i-th; i may be their number.
func (b *Builder) InsertInitContainer(i int, c corev1.Container) {
	b.needSpec()
	addItem(b, "/spec/initContainers", &b.pod.Spec.InitContainers, i, c)
	b.lists[initList] = slices.Insert(b.lists[initList], i, &Container{b: b, list: initList, origin: -1})
	for i, c := range b.lists[initList] {
		c.index = i
	}
}

func (b *Builder) needSpec() {
	if !b.hasSpec {
		b.record("add", "/spec", struct{}{})
		b.hasSpec = true
	}
}

// InitContainers are the init containers, native sidecars among them, in order.
func (b *Builder) InitContainers() []*Container { return slices.Clone(b.lists[initList]) }

// Containers are the main containers, in order.
func (b *Builder) Containers() []*Container { return slices.Clone(b.lists[mainList]) }

// AllContainers are the init containers and then the main ones.
func (b *Builder) AllContainers() []*Container { return append(b.InitContainers(), b.Containers()...) }

// addItem inserts into a list. The first item brings the list with it: the JSON may have none, null or [].
// What is recorded is a copy, since later edits may reach into the item.
func addItem[T any, P interface {
	*T
	DeepCopy() *T
}](b *Builder, path string, list *[]T, i int, item T) {
	recorded := *P(&item).DeepCopy()
	if len(*list) == 0 {
		b.record("add", path, []T{recorded})
	} else {
		b.record("add", fmt.Sprintf("%s/%d", path, i), recorded)
	}
	*list = slices.Insert(*list, i, item)
}

// escape writes a key as a JSON Pointer token (RFC 6901).
func escape(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}
