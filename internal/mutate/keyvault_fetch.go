package mutate

import (
	"cmp"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/podpatch"
)

const (
	fetchName   = "twelvefold-fetch"
	envVolume   = "twelvefold-env"
	filesVolume = "twelvefold-files"
	binVolume   = "twelvefold-bin"

	defaultSecretsPath = "/var/run/secrets/keyvault"
)

// deliver edits the pod: the fetch container with its volumes, and in the others what reads from them.
func (k *keyVault) deliver() {
	k.plan = k.extended()
	k.settleRotation()
	k.status()
	k.rewriteVolumes()
	for _, c := range k.Edit.AllContainers() { // as they are before ours are inserted
		if c != k.fetch && c != k.sync {
			k.resolve(c)
		}
	}
	for _, w := range k.wraps {
		w.apply()
	}
	if k.fetch == nil {
		k.Edit.InsertInitContainer(0, k.fetchContainer())
		k.fetch = k.Edit.InitContainers()[0]
	} else {
		k.update(k.fetch)
	}
	if k.sync != nil {
		k.update(k.sync)
	} else if k.rotation != "" {
		k.Edit.InsertInitContainer(slices.Index(k.Edit.InitContainers(), k.fetch)+1, k.syncContainer())
	}
	for _, v := range k.neededVolumes() {
		if !slices.ContainsFunc(k.Edit.Pod().Spec.Volumes, func(have corev1.Volume) bool { return have.Name == v.Name }) {
			k.Edit.AddVolume(v)
		}
	}
}

func (k *keyVault) secretsPath() string {
	dir, _ := k.Annotation(secretsPathAnnotation)
	return path.Clean(cmp.Or(dir, defaultSecretsPath))
}

// fetchContainer ends before the others begin, so the pod reserves nothing more; requests that equal limits keep the
// class Guaranteed.
func (k *keyVault) fetchContainer() corev1.Container {
	resources := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi")}
	c := agentContainer(k.Context, fetchName, "fetch")
	c.Env, c.VolumeMounts = k.agentVariables(), k.neededMounts()
	c.Resources = corev1.ResourceRequirements{Requests: resources, Limits: resources}
	return c
}

// agentVariables tell fetch and sync what to do.
func (k *keyVault) agentVariables() []corev1.EnvVar {
	env := append([]corev1.EnvVar{{Name: keyvault.PlanEnv, Value: planText(k.plan)}}, k.identityVariables()...)
	for _, e := range []corev1.EnvVar{
		{Name: "AZURE_AUTHORITY_HOST", Value: cmp.Or(k.policy.AuthorityHost, authorities[k.policy.Cloud])},
		{Name: "HTTPS_PROXY", Value: k.policy.Proxy},
		{Name: keyvault.TrustedCAEnv, Value: k.policy.TrustedCA},
		{Name: keyvault.RotationEnv, Value: k.rotation},
	} {
		if e.Value != "" {
			e.Value = strings.ReplaceAll(e.Value, "$", "$$") // else the kubelet might expand it
			env = append(env, e)
		}
	}
	return env
}

// authorities are the clouds whose token issuer the agent can't tell from a vault under another DNS suffix.
var authorities = map[string]string{
	"china": "https://login.chinacloudapi.cn/", "usgov": "https://login.microsoftonline.us/",
}

// update extends a container of an earlier pass.
func (k *keyVault) update(c *podpatch.Container) {
	for _, want := range k.agentVariables() {
		i := findEnv(c, want.Name)
		if i < 0 {
			c.InsertEnv(len(c.Get().Env), want)
			continue
		}
		// Beside what we decide anew, only what was not known offline is filled in.
		have, decided := c.Get().Env[i], slices.Contains([]string{keyvault.PlanEnv, keyvault.IdentityEnv, keyvault.RotationEnv}, want.Name)
		if have.ValueFrom == nil && have.Value != want.Value && (decided || have.Value == "") {
			c.SetEnvValue(i, want.Value)
		}
	}
	for _, m := range k.neededMounts() {
		if !slices.ContainsFunc(c.Get().VolumeMounts, func(have corev1.VolumeMount) bool { return have.Name == m.Name }) {
			c.AddVolumeMount(m)
		}
	}
}

func (k *keyVault) neededMounts() []corev1.VolumeMount {
	_, mounts := k.identityVolumes()
	if len(k.plan.Env) > 0 {
		mounts = append(mounts, corev1.VolumeMount{Name: envVolume, MountPath: "/twelvefold/env"})
	}
	if hasOwnFiles(k.plan) {
		mounts = append(mounts, corev1.VolumeMount{Name: filesVolume, MountPath: "/twelvefold/files"})
	}
	for _, name := range volumesOf(k.plan) {
		mounts = append(mounts, corev1.VolumeMount{Name: name, MountPath: volumesDir + name})
	}
	if k.plan.Exec {
		mounts = append(mounts, corev1.VolumeMount{Name: binVolume, MountPath: path.Dir(keyvault.AgentPath)})
	}
	if k.rotation != "" {
		mounts = append(mounts, corev1.VolumeMount{Name: stateVolume, MountPath: "/twelvefold/state"})
	}
	return mounts
}

// neededVolumes hold the new content beside the old: an env file takes 2 MiB, a secret 25 KB. The agent itself lies on the
// disk, where it takes none of the pod's memory.
func (k *keyVault) neededVolumes() []corev1.Volume {
	empty := func(name, size string, medium corev1.StorageMedium) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: emptyDir(size, medium)}}
	}
	needed, _ := k.identityVolumes()
	if len(k.plan.Env) > 0 {
		needed = append(needed, empty(envVolume, "8Mi", corev1.StorageMediumMemory))
	}
	if hasOwnFiles(k.plan) {
		needed = append(needed, empty(filesVolume, filesSize, corev1.StorageMediumMemory))
	}
	if k.plan.Exec {
		needed = append(needed, empty(binVolume, "64Mi", corev1.StorageMediumDefault))
	}
	if k.rotation != "" {
		needed = append(needed, empty(stateVolume, "1Mi", corev1.StorageMediumMemory))
	}
	return needed
}

// filesSize is the limit of a volume that fetch writes files to.
const filesSize = "32Mi"

func emptyDir(size string, medium corev1.StorageMedium) *corev1.EmptyDirVolumeSource {
	return &corev1.EmptyDirVolumeSource{Medium: medium, SizeLimit: new(resource.MustParse(size))}
}

// status tells what is brought.
func (k *keyVault) status() {
	for _, e := range k.plan.Env {
		k.Done("env %s: %s/%s", e.Key, e.Vault, e.Name)
	}
	for _, f := range k.plan.Files {
		k.Done("file %s: %s/%s", strings.TrimPrefix(f.Volume+":"+f.Path, ":"), f.Vault, f.Name)
	}
	if len(k.plan.Env) > 0 && k.deliveryReason != "" {
		mode := "env"
		if k.exec {
			mode = "exec"
		}
		k.Done("%s: %s", mode, k.deliveryReason)
	}
}
