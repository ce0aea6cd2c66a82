package mutate

import (
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/metricsmerge"
	"twelvefold.dev/internal/podpatch"
)

const (
	mergeContainer = "twelvefold-merge"
	mergePort      = 9464
)

// mergeSidecar is the sidecar of an earlier run, or nil.
func (c *Context) mergeSidecar() *podpatch.Container {
	for _, p := range c.Edit.InitContainers() {
		if p.Name() == mergeContainer && runs(p) && mergePlanIndex(p.Get()) >= 0 {
			return p
		}
	}
	return nil
}

func mergePlanIndex(container *corev1.Container) int {
	return slices.IndexFunc(container.Env, func(e corev1.EnvVar) bool {
		_, err := metricsmerge.ParsePlan(e.Value)
		return e.Name == metricsmerge.PlanEnv && err == nil
	})
}

// noMerge is why several endpoints can't be made one by a sidecar; empty if they can.
func (c *Context) noMerge() string {
	if c.reads("prometheus", "azure", "container-insights") {
		for _, key := range []string{portAnnotation, pathAnnotation, schemeAnnotation, istioTargetsAnnotation} {
			if text, set := c.Annotation(key); set && text != metricsmerge.Path && text != "http" {
				return fmt.Sprintf("the pod's own %s is %s", key, quoted(text))
			}
		}
	}
	if c.mergeSidecar() != nil {
		return ""
	}
	if why := c.noSidecar(); why != "" {
		return why
	}
	if c.Edit.Pod().Spec.HostNetwork {
		return "with hostNetwork the port would be one of the node's"
	}
	if slices.ContainsFunc(c.Edit.AllContainers(), func(p *podpatch.Container) bool { return p.Name() == mergeContainer }) {
		return "the name " + mergeContainer + " is taken by a container that Twelvefold did not make"
	}
	return ""
}

// merge has one sidecar serve all endpoints, or says why it can't. One that is there keeps its port, and its targets
// that are still endpoints their places and names.
func (c *Context) merge(ready []endpoint) (merged endpoint, why string) {
	if why := c.noMerge(); why != "" {
		return endpoint{}, why
	}
	sidecar, plan := c.mergeSidecar(), metricsmerge.Plan{}
	if sidecar != nil {
		before, err := metricsmerge.ParsePlan(sidecar.Get().Env[mergePlanIndex(sidecar.Get())].Value)
		if err != nil {
			panic(err) // mergeSidecar has read it
		}
		plan.Port = before.Port
		for _, t := range before.Targets {
			if slices.ContainsFunc(ready, func(e endpoint) bool { return target(e).URL() == t.URL() }) {
				plan.Targets = append(plan.Targets, t)
			}
		}
	} else if plan.Port = c.mergePort(ready); plan.Port == 0 {
		return endpoint{}, "no port is free for it"
	}
	for _, e := range ready {
		t := target(e)
		if !slices.ContainsFunc(plan.Targets, func(other metricsmerge.Target) bool { return other.URL() == t.URL() }) {
			t.Source = unusedSource(plan, t)
			plan.Targets = append(plan.Targets, t)
		}
	}
	if err := plan.Validate(); err != nil {
		return endpoint{}, shown(err.Error())
	}
	c.writeMerge(sidecar, plan)
	c.Done("%s: all of them merged on %d", mergeContainer, plan.Port)
	return endpoint{port: plan.Port, path: metricsmerge.Path, scheme: "http", name: mergeContainer, source: mergeContainer, why: "merged"}, ""
}

func (c *Context) writeMerge(sidecar *podpatch.Container, plan metricsmerge.Plan) {
	text := compactJSON(plan)
	if sidecar != nil {
		if i := mergePlanIndex(sidecar.Get()); sidecar.Get().Env[i].Value != text {
			sidecar.SetEnvValue(i, text)
		}
		return
	}
	container := agentContainer(c, mergeContainer, "merge")
	container.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	container.Env = []corev1.EnvVar{{Name: metricsmerge.PlanEnv, Value: text}}
	container.Ports = []corev1.ContainerPort{{ContainerPort: plan.Port, Protocol: corev1.ProtocolTCP}}
	c.Edit.InsertInitContainer(len(c.Edit.InitContainers()), container)
}

func target(e endpoint) metricsmerge.Target {
	return metricsmerge.Target{Source: e.source, Port: e.port, Path: e.path, Scheme: e.scheme}
}

// unusedSource is the container's name, with the port where the container has several endpoints.
func unusedSource(plan metricsmerge.Plan, t metricsmerge.Target) string {
	used := func(name string) bool {
		return name == "" || slices.ContainsFunc(plan.Targets, func(other metricsmerge.Target) bool { return other.Source == name })
	}
	port := "port-" + strconv.Itoa(int(t.Port))
	if t.Source != "" {
		port = fmt.Sprintf("%s-%d", t.Source, t.Port)
	}
	for _, name := range []string{t.Source, port} {
		if !used(name) {
			return name
		}
	}
	return port + t.Path // one port, several paths
}

// mergePort is a port that nobody in the pod has or will have, or 0.
func (c *Context) mergePort(ready []endpoint) int32 {
	taken := c.takenPorts()
	for _, e := range ready {
		taken = append(taken, e.port)
	}
	for port := int32(mergePort); port < mergePort+100; port++ {
		if !slices.Contains(taken, port) {
			return port
		}
	}
	return 0
}
