package podpatch

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const (
	initList = iota
	mainList
)

var listNames = [...]string{"initContainers", "containers"}

// Container is a container of the pod being edited. It stays valid when containers are inserted before it.
type Container struct {
	b           *Builder
	list, index int
	origin      int  // where it stands in the JSON that was read; -1: nowhere
	resources   bool // an edit has made its resources
}

// Get is the container as edited so far. It is for reading, and valid until the next edit of the pod.
func (c *Container) Get() *corev1.Container {
	if c.list == initList {
		return &c.b.pod.Spec.InitContainers[c.index]
	}
	return &c.b.pod.Spec.Containers[c.index]
}

// Name is the container's name.
func (c *Container) Name() string { return c.Get().Name }

// Init says whether it is an init container or a native sidecar.
func (c *Container) Init() bool { return c.list == initList }

// Path is the container as messages name it: spec.containers[name="api"].
func (c *Container) Path() string {
	return fmt.Sprintf("spec.%s[name=%q]", listNames[c.list], c.Name())
}

func (c *Container) pointer(field string) string {
	return fmt.Sprintf("/spec/%s/%d/%s", listNames[c.list], c.index, field)
}

// InsertEnv puts an environment variable before the i-th.
func (c *Container) InsertEnv(i int, e corev1.EnvVar) {
	addItem(c.b, c.pointer("env"), &c.Get().Env, i, e)
}

// SetEnvValue replaces the literal value of the i-th environment variable, which must have one.
func (c *Container) SetEnvValue(i int, value string) {
	env := &c.Get().Env[i]
	c.b.record("add", c.pointer(fmt.Sprintf("env/%d/value", i)), value)
	env.Value = value
}

// SetEnvValueFrom replaces the literal value of the i-th environment variable, which must have one, by a source.
func (c *Container) SetEnvValueFrom(i int, source *corev1.EnvVarSource) {
	env := &c.Get().Env[i]
	c.b.record("remove", c.pointer(fmt.Sprintf("env/%d/value", i)), nil)
	c.b.record("add", c.pointer(fmt.Sprintf("env/%d/valueFrom", i)), source.DeepCopy())
	env.Value, env.ValueFrom = "", source
}

// AddVolumeMount appends a mount.
func (c *Container) AddVolumeMount(m corev1.VolumeMount) {
	mounts := &c.Get().VolumeMounts
	addItem(c.b, c.pointer("volumeMounts"), mounts, len(*mounts), m)
}

// SetCommand replaces the container's command.
func (c *Container) SetCommand(command []string) {
	c.b.record("add", c.pointer("command"), slices.Clone(command))
	c.Get().Command = command
}

// SetArgs replaces the container's args.
func (c *Container) SetArgs(args []string) {
	c.b.record("add", c.pointer("args"), slices.Clone(args))
	c.Get().Args = args
}

// Rewrite gives the container the env, command and args of one that differs from it in nothing else, and in its env by
// values and further variables only.
func (c *Container) Rewrite(changed *corev1.Container) {
	for i, e := range changed.Env {
		if have := c.Get().Env; i == len(have) {
			c.InsertEnv(i, e)
		} else if have[i].Value != e.Value {
			c.SetEnvValue(i, e.Value)
		}
	}
	if !slices.Equal(c.Get().Command, changed.Command) {
		c.SetCommand(changed.Command)
	}
	if !slices.Equal(c.Get().Args, changed.Args) {
		c.SetArgs(changed.Args)
	}
}

// Hook is a command that the kubelet runs in a container: of an exec probe, or of a lifecycle hook.
type Hook struct {
	Field string // livenessProbe, lifecycle.preStop
	Probe bool

	container *Container
	exec      *corev1.ExecAction
}

// Hooks are the container's commands beside its own. They are valid until the next edit of the pod's containers.
func (c *Container) Hooks() (hooks []Hook) {
	container := c.Get()
	add := func(field string, probe bool, exec *corev1.ExecAction) {
		if exec != nil && len(exec.Command) > 0 {
			hooks = append(hooks, Hook{field, probe, c, exec})
		}
	}
	for field, probe := range map[string]*corev1.Probe{"livenessProbe": container.LivenessProbe, "readinessProbe": container.ReadinessProbe, "startupProbe": container.StartupProbe} {
		if probe != nil {
			add(field, true, probe.Exec)
		}
	}
	if l := container.Lifecycle; l != nil {
		for field, handler := range map[string]*corev1.LifecycleHandler{"lifecycle.postStart": l.PostStart, "lifecycle.preStop": l.PreStop} {
			if handler != nil {
				add(field, false, handler.Exec)
			}
		}
	}
	slices.SortFunc(hooks, func(a, b Hook) int { return strings.Compare(a.Field, b.Field) })
	return hooks
}

// Path is the command as messages name it.
func (h Hook) Path() string { return h.container.Path() + "." + h.Field + ".exec.command" }

// Command is what the hook runs. It is for reading.
func (h Hook) Command() []string { return h.exec.Command }

// SetCommand replaces it.
func (h Hook) SetCommand(command []string) {
	h.container.b.record("add", h.container.pointer(strings.ReplaceAll(h.Field, ".", "/")+"/exec/command"), slices.Clone(command))
	h.exec.Command = command
}
