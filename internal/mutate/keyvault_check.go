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

// skipsNode says whether the pod is for a node where the agent does not run: injections are skipped, and references in
// the spec, which would reach the app as they are, are refused.
func (k *keyVault) skipsNode() bool {
	where, elsewhere := "", ""
	switch spec := &k.Edit.Pod().Spec; {
	case spec.OS != nil && spec.OS.Name == corev1.Windows, spec.NodeSelector[corev1.LabelOSStable] == "windows":
		where, elsewhere = "Windows", "Linux"
	case spec.NodeSelector["type"] == "virtual-kubelet":
		where, elsewhere = "virtual nodes", "another node"
	default:
		return false
	}
	for _, v := range k.values {
		k.refuse(envPath(v.container, v.index)+".value", v.container.Name(), "Key Vault references are not resolved on "+where, "read the secret in the application, or run it on "+elsewhere)
	}
	for _, v := range k.volumes {
		k.refuse(v.path, "", v.was+" can't be replaced: the agent does not run on "+where, v.leave+"run the pod on "+elsewhere)
	}
	for _, in := range slices.Concat(k.env, k.ownFiles()) {
		k.Skip("%s: the agent does not run on %s", in.from, where)
	}
	return true
}

// checkClashes refuses a variable that the container sets to something else already.
func (k *keyVault) checkClashes() {
	own := k.ownFiles()
	for _, c := range k.targets {
		for _, in := range k.env {
			if i := findEnv(c, in.name); i >= 0 && !k.resolvesTo(c, i, in.secret) {
				k.refuseInjection(in.from, fmt.Sprintf("%s sets %s too, to something else", envPath(c, i), in.name), "remove one of the two")
			}
		}
		for _, m := range c.Get().VolumeMounts {
			if len(own) > 0 && m.Name != filesVolume && path.Clean(m.MountPath) == k.secretsPath() {
				k.refuseInjection(own[0].from, fmt.Sprintf("%s mounts the volume %s at %s, where the files should go", c.Path(), m.Name, m.MountPath),
					"choose another directory: annotation "+secretsPathAnnotation)
			}
		}
	}
	for _, in := range k.files {
		for _, f := range k.plan.Files {
			if f.Volume == in.volume && f.Path == in.name && f.Reference != in.secret {
				k.refuseInjection(in.from, fmt.Sprintf("%s brings %s from another secret already", k.fetchPath(), in.name), "remove one of the two")
			}
		}
	}
}

// findEnv is the last entry with a name, which is the one that counts, or -1.
func findEnv(c *podpatch.Container, name string) int {
	for i, e := range slices.Backward(c.Get().Env) {
		if e.Name == name {
			return i
		}
	}
	return -1
}

// valueOf is the literal value of a variable, or empty.
func valueOf(c *podpatch.Container, name string) string {
	if i := findEnv(c, name); i >= 0 {
		return c.Get().Env[i].Value
	}
	return ""
}

// resolvesTo says whether an env entry is a reference to the secret, or was one.
func (k *keyVault) resolvesTo(c *podpatch.Container, i int, secret keyvault.Reference) bool {
	e := c.Get().Env[i]
	key, planned := k.keyOf(secret)
	if e.ValueFrom != nil {
		return planned && e.ValueFrom.FileKeyRef != nil && e.ValueFrom.FileKeyRef.VolumeName == envVolume && e.ValueFrom.FileKeyRef.Key == key
	}
	if planned && k.plan.Exec && e.Value == envfile.Placeholder(key) {
		return true
	}
	value, _ := k.parse(c, e.Value)
	whole := value.Whole()
	return whole != nil && *whole == secret
}

// checkTenancy refuses vaults that the policy gives to other namespaces only.
func (k *keyVault) checkTenancy() {
	if len(k.policy.Vaults) == 0 {
		return
	}
	for _, v := range k.values {
		for _, p := range v.value.Parts {
			if p.Secret != nil {
				k.checkVault(envPath(v.container, v.index)+".value", v.container.Name(), p.Secret.Vault)
			}
		}
	}
	type use struct{ from, vault string } // a volume has many files
	seen := map[use]bool{}
	for _, in := range slices.Concat(k.env, k.files) {
		u := use{in.from, in.secret.Vault}
		if !ofPolicy(in.from) && !seen[u] { // a binding is the policy's own word
			seen[u] = true
			k.checkVault(in.from, "", in.secret.Vault)
		}
	}
	if k.fetch != nil {
		for _, vault := range vaultsOf(k.plan) {
			if !k.bound(vault) {
				k.checkVault(k.fetchPath(), fetchName, vault)
			}
		}
	}
}

// bound says whether a binding of this pod brings secrets from the vault.
func (k *keyVault) bound(vault string) bool {
	return slices.ContainsFunc(slices.Concat(k.env, k.files), func(in injected) bool {
		return in.secret.Vault == vault && ofPolicy(in.from)
	})
}

func vaultsOf(p keyvault.Plan) (vaults []string) {
	for _, e := range p.Env {
		vaults = append(vaults, e.Vault)
	}
	for _, f := range p.Files {
		vaults = append(vaults, f.Vault)
	}
	slices.Sort(vaults)
	return slices.Compact(vaults)
}

func (k *keyVault) checkVault(field, container, host string) {
	owner := "whoever keeps the policy"
	for _, v := range k.policy.Vaults {
		if listed, err := k.hosts.Host(v.Name); err != nil || listed != host {
			continue
		}
		if v.Allows(k.Facts.Namespace) {
			return
		}
		if v.Owner != "" {
			owner = v.Owner
		}
	}
	k.refuse(field, container, fmt.Sprintf("the vault %s is not for namespace %s", host, k.Facts.Namespace),
		fmt.Sprintf("ask %s to add the namespace to it under spec.keyVault.vaults of the policy", owner))
}

// checkDelivery refuses what is wanted but can't be brought, here or at all.
func (k *keyVault) checkDelivery() {
	if !k.wanted() {
		return
	}
	k.checkVersion()
	k.checkIdentity()
	k.checkSecretsPath()
	for i, c := range k.Edit.InitContainers() {
		if k.fetch != nil && c == k.fetch {
			break
		}
		if k.fetch != nil && slices.ContainsFunc(k.values, func(v envValue) bool { return v.container == c }) {
			k.refuse(fmt.Sprintf("spec.initContainers[%d]", i), c.Name(), "the container starts before "+fetchName+", so its secrets would not be there yet",
				"insert it after "+fetchName)
		}
	}
	k.checkExec()
	plan := k.extended()
	k.checkHelpers(plan)
	k.checkSize(plan)
}

// checkSecretsPath refuses a directory that can't be mounted.
func (k *keyVault) checkSecretsPath() {
	dir, set := k.Annotation(secretsPathAnnotation)
	if set && (!path.IsAbs(dir) || path.Clean(dir) == "/" || strings.ContainsAny(dir, ":\x00\n") || slices.Contains(strings.Split(dir, "/"), "..") || len(dir) > 4096) {
		k.refuse(annotationPath(secretsPathAnnotation), "", "the path of a directory is wanted", "write an absolute path without .. and colons, such as "+defaultSecretsPath)
	}
}

const (
	maxSecrets = 500     // fills the volumes of the agent less than half
	maxPlan    = 120_000 // bytes; execve takes 131072 for a variable
)

func (k *keyVault) checkSize(plan keyvault.Plan) {
	if n := len(plan.Env) + len(plan.Files); n > maxSecrets {
		k.refuse("metadata.annotations", "", fmt.Sprintf("the pod wants %d secrets; it may have %d", n, maxSecrets), "put what belongs together into one secret")
	} else if size := len(planText(plan)); size > maxPlan {
		k.refuse("metadata.annotations", "", fmt.Sprintf("the list of the pod's secrets has %d bytes; it may have %d", size, maxPlan), "put what belongs together into one secret")
	} else if err := plan.Validate(); err != nil { // keys that have run out, a variable without a name
		k.refuse("spec.containers", "", "the agent would refuse its plan: "+err.Error(), "correct what is named")
	}
}
