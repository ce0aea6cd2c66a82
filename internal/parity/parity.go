// Package parity compares a workload in two namespaces: they should differ in config and in nothing else (factor X).
package parity

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/keyvault"
)

// Difference is one thing in which two pods of one app differ. No value of a variable is in it.
type Difference struct {
	Container string `json:"container,omitempty"`
	Kind      string `json:"kind"`           // image, tag, env, env-from, probe, resources, container, init container, sidecar, exporter
	What      string `json:"what,omitempty"` // the variable, the probe, the resource
	First     string `json:"first"`          // how it is in the first namespace; empty if it is not there
	Second    string `json:"second"`
}

// Compare are the differences of two pods, in the order of their containers. Values of config, numbers of resources
// and the names of Secrets and ConfigMaps may differ.
func Compare(first, second corev1.PodTemplateSpec) []Difference {
	c := comparison{}
	for _, key := range []string{"prometheus.io/scrape", "twelvefold.dev/exporter"} {
		c.compare("", "exporter", "annotation "+key, first.Annotations[key], second.Annotations[key])
	}
	c.containers(first.Spec.InitContainers, second.Spec.InitContainers, true)
	c.containers(first.Spec.Containers, second.Spec.Containers, false)
	return c.differences
}

type comparison struct {
	differences []Difference
}

func (c *comparison) compare(container, kind, what, first, second string) {
	if first != second {
		c.differences = append(c.differences, Difference{container, kind, what, first, second})
	}
}

func (c *comparison) containers(first, second []corev1.Container, init bool) {
	common := slices.ContainsFunc(first, func(c corev1.Container) bool { return named(second, c.Name) != nil })
	for i := range first {
		a := &first[i]
		if b := named(second, a.Name); b != nil {
			c.container(a, b)
		} else {
			c.compare(a.Name, kindOf(a, init, common), "", a.Image, "")
		}
	}
	for i := range second {
		if b := &second[i]; named(first, b.Name) == nil {
			c.compare(b.Name, kindOf(b, init, common), "", "", b.Image)
		}
	}
}

func named(containers []corev1.Container, name string) *corev1.Container {
	i := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &containers[i]
}

// kindOf is what a container is that only one of the pods has.
func kindOf(c *corev1.Container, init, common bool) string {
	ref, err := image.Parse(c.Image)
	native := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
	switch {
	case err == nil && strings.HasSuffix(ref.Base(), "exporter"), strings.HasSuffix(c.Name, "exporter"):
		return "exporter"
	case init && !native:
		return "init container"
	case !init && !common: // the app itself, under another name
		return "container"
	}
	return "sidecar"
}

func (c *comparison) container(a, b *corev1.Container) {
	c.images(a, b)
	c.env(a, b)
	c.compare(a.Name, "env-from", "", envFrom(a), envFrom(b))
	for _, probe := range []struct {
		name string
		a, b *corev1.Probe
	}{{"readinessProbe", a.ReadinessProbe, b.ReadinessProbe}, {"livenessProbe", a.LivenessProbe, b.LivenessProbe}, {"startupProbe", a.StartupProbe, b.StartupProbe}} {
		c.compare(a.Name, "probe", probe.name, handler(probe.a), handler(probe.b))
	}
	for _, list := range []struct {
		name string
		a, b corev1.ResourceList
	}{{"requests", a.Resources.Requests, b.Resources.Requests}, {"limits", a.Resources.Limits, b.Resources.Limits}} {
		for _, resource := range slices.Sorted(maps.Keys(union(list.a, list.b))) {
			c.compare(a.Name, "resources", list.name+"."+string(resource), quantity(list.a, resource), quantity(list.b, resource))
		}
	}
}

// images tells another app from another version of it. A registry may differ: each environment may have its own.
func (c *comparison) images(a, b *corev1.Container) {
	first, err := image.Parse(a.Image)
	second, err2 := image.Parse(b.Image)
	switch {
	case err != nil || err2 != nil:
		c.compare(a.Name, "image", "", a.Image, b.Image)
	case first.Repository != second.Repository:
		c.compare(a.Name, "image", "", a.Image, b.Image)
	default:
		c.compare(a.Name, "tag", "", version(first), version(second))
	}
}

func version(r image.Reference) string {
	switch {
	case r.Digest == "" && r.Tag == "":
		return "none"
	case r.Digest == "":
		return r.Tag
	case r.Tag == "":
		return r.Digest
	}
	return r.Tag + "@" + r.Digest
}

// env compares which variables there are, and where each is from.
func (c *comparison) env(a, b *corev1.Container) {
	first, second := sources(a), sources(b)
	for _, name := range slices.Sorted(maps.Keys(union(first, second))) {
		c.compare(a.Name, "env", name, first[name], second[name])
	}
}

func sources(c *corev1.Container) map[string]string {
	all := map[string]string{}
	for _, e := range c.Env {
		if strings.HasPrefix(e.Name, "STAKATER_") { // Reloader writes these into templates, when a ConfigMap or Secret has changed
			continue
		}
		all[e.Name] = sourceOf(e)
	}
	return all
}

func sourceOf(e corev1.EnvVar) string {
	switch from := e.ValueFrom; {
	case from == nil && (keyvault.Hosts{}).IsReference(e.Value):
		return "from Key Vault"
	case from == nil:
		return "a value"
	case from.SecretKeyRef != nil:
		return "from a Secret"
	case from.ConfigMapKeyRef != nil:
		return "from a ConfigMap"
	case from.FileKeyRef != nil:
		return "from a file"
	}
	return "from the pod itself"
}

func envFrom(c *corev1.Container) string {
	secrets, configs := 0, 0
	for _, from := range c.EnvFrom {
		switch {
		case from.SecretRef != nil:
			secrets++
		case from.ConfigMapRef != nil:
			configs++
		}
	}
	if secrets+configs == 0 {
		return ""
	}
	return fmt.Sprintf("%d ConfigMaps and %d Secrets", configs, secrets)
}

func handler(p *corev1.Probe) string {
	switch {
	case p == nil:
		return ""
	case p.HTTPGet != nil:
		return "httpGet"
	case p.TCPSocket != nil:
		return "tcpSocket"
	case p.GRPC != nil:
		return "grpc"
	case p.Exec != nil:
		return "exec"
	}
	return "set"
}

// quantity says that there is one, but not which.
func quantity(list corev1.ResourceList, name corev1.ResourceName) string {
	if _, ok := list[name]; ok {
		return "set"
	}
	return ""
}

func union[K comparable, V any](a, b map[K]V) map[K]V {
	all := maps.Clone(a)
	if all == nil {
		all = map[K]V{}
	}
	maps.Copy(all, b)
	return all
}
