package mutate

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
)

// The annotations of this job.
const (
	vaultAnnotation       = "twelvefold.dev/keyvault"
	secretsPathAnnotation = "twelvefold.dev/secrets-path"
	containersAnnotation  = "twelvefold.dev/containers"
	rotationAnnotation    = "twelvefold.dev/rotation"
	deliveryAnnotation    = "twelvefold.dev/delivery"
	csiAnnotation         = "twelvefold.dev/csi"
	envPrefix             = "env.twelvefold.dev/"
	filePrefix            = "file.twelvefold.dev/"
)

func init() {
	register(Mutator{Name: "keyvault", Factor: "III", Order: 10, Page: keyVaultPage, Mutate: func(c *Context) {
		k := &keyVault{Context: c, policy: c.Policy.Spec().KeyVault}
		k.hosts = keyvault.Hosts{Cloud: k.policy.Cloud, Suffixes: k.policy.DNSSuffixes}
		k.run()
	}})
}

// keyVault is the job for one pod: it reads what is wanted, and edits the pod only if nothing is refused.
type keyVault struct {
	*Context
	policy  policy.KeyVault
	hosts   keyvault.Hosts
	vault   string                // the pod's default vault, a host
	targets []*podpatch.Container // that annotations and bindings are for

	values  []envValue // env entries that hold references
	mapped  mapped     // what containers take from ConfigMaps
	env     []injected // variables that all targets get
	files   []injected // that all targets get, and those of volumes
	volumes []adopted

	fetch *podpatch.Container // the fetch container, if the pod has it already
	sync  *podpatch.Container // and its sidecar
	plan  keyvault.Plan

	exec           bool   // variables come by the agent's exec, and not by the kubelet
	deliveryReason string // why; empty where it is the default, or an earlier pass chose
	wraps          []wrap
	rotation       string

	refused bool
}

// envValue is an env entry to resolve.
type envValue struct {
	container *podpatch.Container
	index     int
	value     keyvault.Value
}

// injected is a variable or file that is asked for beside the env values of containers.
type injected struct {
	name   string
	volume string // of a file: the pod's volume that it belongs to; empty is the directory of our own files
	secret keyvault.Reference
	from   string // the field that asks for it
}

func (k *keyVault) run() {
	k.readExisting()
	k.readVault()
	k.readTargets()
	k.readValues()
	k.readAnnotations()
	k.readBindings()
	k.readVolumes()
	k.readDelivery()
	k.readRotation()
	if k.skipsNode() {
		return
	}
	k.checkClashes()
	k.checkTenancy()
	k.verify()
	k.checkDelivery()
	if !k.refused && k.wanted() {
		k.deliver()
	}
	if !k.refused {
		k.protectVolumes()
	}
}

// wanted says whether there is anything to bring, or to keep as an earlier pass left it.
func (k *keyVault) wanted() bool {
	return k.fetch != nil || len(k.values)+len(k.env)+len(k.files) > 0
}

func (k *keyVault) refuse(path, container, message, fix string) {
	k.refused = true
	k.Refuse(path, container, message, fix)
}

func annotationPath(key string) string { return fmt.Sprintf("metadata.annotations[%q]", key) }

func envPath(c *podpatch.Container, i int) string {
	return fmt.Sprintf("%s.env[name=%q]", c.Path(), c.Get().Env[i].Name)
}

// readVault reads the pod's default vault.
func (k *keyVault) readVault() {
	name, set := k.Annotation(vaultAnnotation)
	if !set {
		return
	}
	host, err := k.hosts.Host(name)
	if err != nil {
		k.refuse(annotationPath(vaultAnnotation), "", err.Error(), "write the name of a vault, or its URL")
	}
	k.vault = host
}

// readTargets finds the containers that annotations and bindings are for. One that another webhook put before fetch could
// never start with a variable that is not there yet.
func (k *keyVault) readTargets() {
	var names []string
	early := k.fetch != nil
	for _, c := range k.Edit.AllContainers() {
		switch {
		case c == k.fetch:
			early = false
		case c == k.sync:
		case k.Policy.Ignored(c.Name()):
		case early:
			k.Skip("container %s: it starts before %s, when there are no secrets yet", c.Name(), fetchName)
		default:
			k.targets = append(k.targets, c)
			names = append(names, c.Name())
		}
	}
	list, set := k.Annotation(containersAnnotation)
	if !set {
		return
	}
	var wanted []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); slices.Contains(wanted, name) {
			continue
		}
		wanted = append(wanted, name)
		if !slices.Contains(names, name) {
			k.refuse(annotationPath(containersAnnotation), "", fmt.Sprintf("the pod has no container %q to inject into", name),
				"name containers of the pod, separated by commas: "+strings.Join(names, ", "))
		}
	}
	k.targets = slices.DeleteFunc(k.targets, func(c *podpatch.Container) bool { return !slices.Contains(wanted, c.Name()) })
}

// readValues finds the references in env values, and in ConfigMaps of envFrom, of all containers but those that are not
// the team's.
func (k *keyVault) readValues() {
	for _, c := range k.Edit.AllContainers() {
		if k.Policy.Ignored(c.Name()) {
			continue
		}
		added := k.readEnvFrom(c)
		for i, e := range c.Get().Env[added:] {
			if e.ValueFrom == nil {
				k.readValue(c, added+i, e.Value)
			}
		}
	}
}

func (k *keyVault) readValue(c *podpatch.Container, i int, text string) {
	if value, found := k.read(c, envPath(c, i)+".value", text); found {
		k.values = append(k.values, envValue{c, i, value})
	}
}

// read finds the references in a value, and tells what is wrong with them.
func (k *keyVault) read(c *podpatch.Container, path, text string) (value keyvault.Value, found bool) {
	if tool := keyvault.Foreign(text); tool != "" {
		k.Warn(path, c.Name(), "it looks like a reference of "+tool+", which this version does not resolve", "see the forms that are resolved")
		return value, false
	}
	value, fix := k.parse(c, text)
	for _, err := range value.Stray {
		k.Warn(path, c.Name(), err.Error(), "else the application gets the text of the reference")
	}
	for _, err := range value.Wrong {
		k.refuse(path, c.Name(), "the Key Vault reference can't be read: "+err.Error(), fix)
	}
	if len(value.Wrong) > 0 || !value.HasReference() {
		return value, false
	}
	for _, p := range value.Parts {
		if p.Secret != nil && p.Secret.EnvProblem() != "" {
			k.refuse(path, c.Name(), "it can't be a variable: "+p.Secret.EnvProblem(), fileFix)
		}
	}
	if value.Whole() == nil && slices.ContainsFunc(value.Parts, func(p keyvault.Part) bool { return p.Secret != nil && p.Secret.Optional }) {
		k.refuse(path, c.Name(), "a reference inside a longer value is optional; the kubelet would leave its placeholder there",
			"leave out Optional=true, or give the secret a variable of its own")
	}
	return value, true
}

// parse reads a value in any of the forms, and says how to mend one that can't be read.
func (k *keyVault) parse(c *podpatch.Container, text string) (value keyvault.Value, fix string) {
	if keyvault.IsBankVaults(text) {
		return k.parseBankVaults(c, text)
	}
	if name, query, is := keyvault.Akv2k8s(text); is {
		return k.parseAkv2k8s(name, query)
	}
	return k.hosts.ParseValue(text), referenceFix
}

const (
	referenceFix = `write @Microsoft.KeyVault(VaultName=<vault>;SecretName=<name>)`
	fileFix      = "take it as a file: annotation " + filePrefix + "<file name>: <secret>"
)

// readAnnotations reads env.twelvefold.dev/NAME and file.twelvefold.dev/NAME.
func (k *keyVault) readAnnotations() {
	annotations := k.Edit.Pod().Annotations
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		name, isEnv := strings.CutPrefix(key, envPrefix)
		file, isFile := strings.CutPrefix(key, filePrefix)
		if isEnv || isFile {
			secret, err := k.hosts.Parse(annotations[key], k.vault)
			fix := "write NAME[/VERSION][?key=value&…] of a secret, with annotation " + vaultAnnotation + ": <vault>, or " + strings.TrimPrefix(referenceFix, "write ")
			if isFile {
				name = file
			}
			k.inject(isEnv, name, secret, err, annotationPath(key), fix)
		}
	}
}

// readBindings reads what the policy binds to this pod.
func (k *keyVault) readBindings() {
	for i, b := range k.policy.Bindings {
		if !b.Match.Matches(k.Facts.Namespace, k.Edit.Pod().Labels) {
			continue
		}
		vault := k.vault
		if b.Vault != "" {
			host, err := k.hosts.Host(b.Vault)
			if err != nil {
				k.refuse("metadata.labels", "", fmt.Sprintf("the policy's keyVault.bindings[%d] can't be read: vault: %v", i, err), "correct the policy")
				continue
			}
			vault = host
		}
		read := func(isEnv bool, kind string, secrets map[string]policy.BindingSecret) {
			for _, name := range slices.Sorted(maps.Keys(secrets)) {
				secret, err := k.hosts.Parse(secrets[name].Secret, vault)
				secret.Optional = secret.Optional || secrets[name].Optional
				k.inject(isEnv, name, secret, err, fmt.Sprintf("the policy's keyVault.bindings[%d].%s[%q]", i, kind, name), "correct the policy")
			}
		}
		read(true, "env", b.Env)
		read(false, "files", b.Files)
	}
	byName := func(a, b injected) int { return strings.Compare(a.name, b.name) }
	slices.SortStableFunc(k.env, byName)
	slices.SortStableFunc(k.files, byName)
}

// inject notes a variable or file that all targets get.
func (k *keyVault) inject(isEnv bool, name string, secret keyvault.Reference, err error, from, fix string) {
	list, valid, what, nameFix := &k.files, keyvault.ValidPath(name), "path of a file", "use letters, digits, hyphens, underscores and dots, but no two dots at the beginning"
	if isEnv {
		list, valid, what, nameFix = &k.env, envName.MatchString(name), "name of an environment variable", "use letters, digits, hyphens, underscores and dots, but no digit at the beginning"
	}
	if !valid {
		k.refuseInjection(from, "it holds no "+what, nameFix)
	}
	if err != nil {
		k.refuseInjection(from, "the reference can't be read: "+err.Error(), fix)
	}
	problem := ""
	if isEnv && err == nil {
		problem = secret.EnvProblem()
	}
	if problem != "" {
		k.refuseInjection(from, "it can't be a variable: "+problem, fileFix)
	}
	if err != nil || !valid || problem != "" {
		return
	}
	for _, other := range *list {
		if other.name == name {
			if other.secret != secret {
				k.refuseInjection(from, fmt.Sprintf("%s sets %s too, from another secret", other.from, name), "remove one of the two")
			}
			return
		}
	}
	*list = append(*list, injected{name: name, secret: secret, from: from})
}

// envName is what the API server takes as the name of a variable, whatever its version.
var envName = regexp.MustCompile(`^[-._a-zA-Z][-._a-zA-Z0-9]*$`)

// ofPolicy says whether the policy's bindings ask for something, and not the pod.
func ofPolicy(from string) bool { return strings.HasPrefix(from, "the policy's ") }

// refuseInjection refuses what an annotation asks for, or a binding: that one is no field of the pod, but its labels
// brought it.
func (k *keyVault) refuseInjection(from, message, fix string) {
	if ofPolicy(from) {
		from, message = "metadata.labels", from+": "+message
	}
	k.refuse(from, "", message, fix)
}
