package mutate

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/envfile"
	"twelvefold.dev/internal/podpatch"
)

// execPrefix begins the command of a container whose variables the agent fills in.
var execPrefix = []string{keyvault.AgentPath, "exec", "--"}

// execMounts are what the agent needs in such a container.
var execMounts = []corev1.VolumeMount{
	{Name: envVolume, MountPath: "/twelvefold/env", ReadOnly: true},
	{Name: binVolume, MountPath: path.Dir(keyvault.AgentPath), ReadOnly: true},
}

// wrap is a container to start by the agent. Fields that are nil stay as they are.
type wrap struct {
	container     *podpatch.Container
	command, args []string
}

// checkExec finds the containers that the agent must start, and refuses what it can't start.
func (k *keyVault) checkExec() {
	if !k.exec {
		return
	}
	early := k.fetch != nil
	for _, c := range k.Edit.AllContainers() {
		if c == k.fetch {
			early = false
		}
		if early || k.Policy.Ignored(c.Name()) {
			continue
		}
		if holders := k.holders(c); len(holders) > 0 {
			k.checkExpansions(c, holders)
			k.checkExecMounts(c)
			k.wrap(c)
		}
	}
}

// holders are the variables of a container that hold a secret, or something made of one.
func (k *keyVault) holders(c *podpatch.Container) map[string]bool {
	holders := map[string]bool{}
	if slices.Contains(k.targets, c) {
		for _, in := range k.env {
			holders[in.name] = true
		}
	}
	for i, e := range c.Get().Env {
		value := slices.ContainsFunc(k.values, func(v envValue) bool { return v.container == c && v.index == i })
		if value || envfile.HasPlaceholder(e.Value) || slices.ContainsFunc(expansions(e.Value), func(name string) bool { return holders[name] }) {
			holders[e.Name] = true
		}
	}
	return holders
}

// expansions are the names in a text that the kubelet takes for variables: $(NAME), but not $$(NAME).
func expansions(text string) (names []string) {
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i+1 == len(text) {
			return names
		}
		text = text[i+1:]
		switch text[0] {
		case '$':
			text = text[1:]
		case '(':
			if end := strings.IndexByte(text, ')'); end > 0 {
				names = append(names, text[1:end])
				text = text[end+1:]
			}
		}
	}
}

// checkExpansions refuses $(NAME) of a secret in a command line: the kubelet would put the placeholder there, and the
// agent does not touch it, for everyone on the node can read a process's arguments. Lifecycle hooks aren't expanded.
func (k *keyVault) checkExpansions(c *podpatch.Container, holders map[string]bool) {
	check := func(field string, words []string) {
		for _, word := range words {
			for _, name := range expansions(word) {
				if holders[name] {
					k.refuse(field, c.Name(), fmt.Sprintf("$(%s) holds a secret, which is not put into a command line", name),
						"let the program read the variable, or a shell: sh -c 'exec app \"$"+name+"\"'")
				}
			}
		}
	}
	check(c.Path()+".command", c.Get().Command)
	check(c.Path()+".args", c.Get().Args)
	for _, h := range c.Hooks() {
		if h.Probe {
			check(h.Path(), h.Command())
		}
	}
}

// checkExecMounts refuses mounts over the agent's own.
func (k *keyVault) checkExecMounts(c *podpatch.Container) {
	for i, have := range c.Get().VolumeMounts {
		for _, want := range execMounts {
			at := path.Clean(have.MountPath)
			if have.Name != want.Name && (at == want.MountPath || strings.HasPrefix(at, want.MountPath+"/")) {
				k.refuse(fmt.Sprintf("%s.volumeMounts[%d].mountPath", c.Path(), i), c.Name(), want.MountPath+" is where Twelvefold's own files go", "mount it elsewhere")
			}
		}
	}
}

// wrap notes how the agent starts a container: by its own command, or else by what its image starts.
func (k *keyVault) wrap(c *podpatch.Container) {
	have := c.Get()
	switch {
	case slices.Contains(have.Command, keyvault.AgentPath):
		k.wraps = append(k.wraps, wrap{container: c})
		return
	case len(have.Command) > 0:
		k.wraps = append(k.wraps, wrap{container: c, command: wrapped(have.Command)})
		return
	}
	const fix = "write the container's command"
	if k.Facts.Entrypoint == nil && k.Facts.Offline { // the cluster's webhook asks the registry
		k.Warn(c.Path()+".command", c.Name(), "its secrets come by exec, for which the image's entrypoint must be known; registries are not asked here", fix)
		return
	}
	if k.Facts.Entrypoint == nil {
		k.refuse(c.Path()+".command", c.Name(), "its secrets come by exec, for which the image's entrypoint must be known", fix)
		return
	}
	entrypoint, cmd, err := k.Facts.Entrypoint(have.Image)
	if err == nil && len(entrypoint)+len(cmd)+len(have.Args) == 0 {
		err = fmt.Errorf("the image has neither ENTRYPOINT nor CMD")
	}
	if err != nil {
		k.refuse(c.Path()+".command", c.Name(), "its secrets come by exec, for which the image's entrypoint must be known: "+shown(err.Error()), fix)
		return
	}
	w := wrap{container: c, command: wrapped(literal(entrypoint))}
	if len(have.Args) == 0 && len(cmd) > 0 { // the kubelet leaves out CMD where there is a command
		w.args = literal(cmd)
	}
	k.wraps = append(k.wraps, w)
}

func wrapped(command []string) []string { return slices.Concat(execPrefix, command) }

// literal keeps the kubelet from expanding words that it did not expand as an image's.
func literal(words []string) []string {
	escaped := make([]string, len(words))
	for i, w := range words {
		escaped[i] = strings.ReplaceAll(w, "$", "$$")
	}
	return escaped
}

// apply lets the agent start a container, its exec probes and its lifecycle hooks.
func (w wrap) apply() {
	c := w.container
	if w.command != nil {
		c.SetCommand(w.command)
	}
	if w.args != nil {
		c.SetArgs(w.args)
	}
	for _, h := range c.Hooks() {
		if !slices.Contains(h.Command(), keyvault.AgentPath) {
			h.SetCommand(wrapped(h.Command()))
		}
	}
	for _, m := range execMounts {
		if !slices.ContainsFunc(c.Get().VolumeMounts, func(have corev1.VolumeMount) bool { return have.Name == m.Name && have.MountPath == m.MountPath }) {
			c.AddVolumeMount(m)
		}
	}
}

// ownCommand is a container's command without the agent before it.
func ownCommand(c *corev1.Container) []string {
	if len(c.Command) > len(execPrefix) && slices.Equal(c.Command[:len(execPrefix)], execPrefix) {
		return c.Command[len(execPrefix):]
	}
	return c.Command
}
