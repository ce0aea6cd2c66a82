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
	tokenVolume = "twelvefold-token"

	tokenAudience      = "api://AzureADTokenExchange"
	tokenDir           = "/var/run/secrets/twelvefold.dev/token"
	defaultSecretsPath = "/var/run/secrets/keyvault"

	clientAnnotation = "azure.workload.identity/client-id"
	tenantAnnotation = "azure.workload.identity/tenant-id"
)

// deliver edits the pod: the fetch container with its volumes, and in the others what reads from them.
func (k *keyVault) deliver() {
	k.plan = k.extended()
	k.status()
	for _, c := range k.Edit.AllContainers() { // as they are before fetch is inserted
		if c != k.fetch {
			k.resolve(c)
		}
	}
	if k.fetch == nil {
		k.Edit.InsertInitContainer(0, k.container())
	} else {
		k.update()
	}
	for _, v := range k.neededVolumes() {
		if !slices.ContainsFunc(k.Edit.Pod().Spec.Volumes, func(have corev1.Volume) bool { return have.Name == v.Name }) {
			k.Edit.AddVolume(v)
		}
	}
}

// resolve lets a container read its secrets: references are replaced in place, and what is new stands first, so that
// $(VAR) in the container's own entries can use it.
func (k *keyVault) resolve(c *podpatch.Container) {
	target := slices.Contains(k.targets, c)
	var fresh []corev1.EnvVar
	add := func(e corev1.EnvVar) {
		if findEnv(c, e.Name) < 0 && !slices.ContainsFunc(fresh, func(f corev1.EnvVar) bool { return f.Name == e.Name }) {
			fresh = append(fresh, e)
		}
	}
	for _, in := range k.env {
		if target {
			add(corev1.EnvVar{Name: in.name, ValueFrom: k.source(in.secret)})
		}
	}
	for _, v := range k.values {
		if v.container != c {
			continue
		}
		if whole := v.value.Whole(); whole != nil {
			c.SetEnvValueFrom(v.index, k.source(*whole))
			continue
		}
		var text strings.Builder
		for _, p := range v.value.Parts {
			if p.Secret == nil {
				text.WriteString(p.Text)
				continue
			}
			key, _ := k.keyOf(*p.Secret)
			add(corev1.EnvVar{Name: helperPrefix + key, ValueFrom: k.source(*p.Secret)})
			text.WriteString("$(" + helperPrefix + key + ")")
		}
		c.SetEnvValue(v.index, text.String())
	}
	for i, e := range fresh {
		c.InsertEnv(i, e)
	}
	if target && len(k.files) > 0 && !slices.ContainsFunc(c.Get().VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == filesVolume }) {
		c.AddVolumeMount(corev1.VolumeMount{Name: filesVolume, MountPath: k.secretsPath(), ReadOnly: true})
	}
}

// helperPrefix begins the names of variables that hold a secret for use inside of a longer value.
const helperPrefix = "TWELVEFOLD_"

func (k *keyVault) source(secret keyvault.Reference) *corev1.EnvVarSource {
	key, _ := k.keyOf(secret)
	ref := &corev1.FileKeySelector{VolumeName: envVolume, Path: "env", Key: key}
	if secret.Optional {
		ref.Optional = &secret.Optional
	}
	return &corev1.EnvVarSource{FileKeyRef: ref}
}

func (k *keyVault) secretsPath() string {
	dir, _ := k.Annotation(secretsPathAnnotation)
	return path.Clean(cmp.Or(dir, defaultSecretsPath))
}

// identity is the client and tenant that the pod's service account stands for.
func (k *keyVault) identity() (client, tenant string) {
	client, tenant = k.Facts.ServiceAccount[clientAnnotation], k.Facts.ServiceAccount[tenantAnnotation]
	if kind := k.policy.Identity.Kind; kind == "" || kind == "workload" {
		client, tenant = cmp.Or(client, k.policy.Identity.ClientID), cmp.Or(tenant, k.policy.Identity.TenantID)
	}
	return strings.TrimSpace(client), strings.TrimSpace(tenant)
}

// container is the fetch container.
func (k *keyVault) container() corev1.Container {
	client, tenant := k.identity()
	env := []corev1.EnvVar{
		{Name: keyvault.PlanEnv, Value: planText(k.plan)},
		{Name: "AZURE_CLIENT_ID", Value: client},
		{Name: "AZURE_TENANT_ID", Value: tenant},
		{Name: "AZURE_FEDERATED_TOKEN_FILE", Value: tokenDir + "/token"},
	}
	for _, e := range []corev1.EnvVar{
		{Name: "AZURE_AUTHORITY_HOST", Value: cmp.Or(k.policy.AuthorityHost, authorities[k.policy.Cloud])},
		{Name: "HTTPS_PROXY", Value: k.policy.Proxy},
		{Name: "TWELVEFOLD_TRUSTED_CA", Value: k.policy.TrustedCA},
	} {
		if e.Value != "" {
			e.Value = strings.ReplaceAll(e.Value, "$", "$$") // else the kubelet might expand it
			env = append(env, e)
		}
	}
	// It ends before the others begin, so the pod reserves nothing more; requests that equal limits keep the class Guaranteed.
	resources := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi")}
	c := agentContainer(k.Context, fetchName, "fetch")
	c.Env, c.VolumeMounts = env, k.neededMounts()
	c.Resources = corev1.ResourceRequirements{Requests: resources, Limits: resources}
	return c
}

// authorities are the clouds whose token issuer the agent can't tell from a vault under another DNS suffix.
var authorities = map[string]string{
	"china": "https://login.chinacloudapi.cn/", "usgov": "https://login.microsoftonline.us/",
}

// update extends the container of an earlier pass.
func (k *keyVault) update() {
	client, tenant := k.identity()
	values := map[string]string{keyvault.PlanEnv: planText(k.plan)}
	for i, e := range k.fetch.Get().Env {
		if e.Name == "AZURE_CLIENT_ID" && e.Value == "" { // it was not known offline
			values[e.Name] = client
		}
		if e.Name == "AZURE_TENANT_ID" && e.Value == "" {
			values[e.Name] = tenant
		}
		if value, set := values[e.Name]; set && e.ValueFrom == nil && value != e.Value {
			k.fetch.SetEnvValue(i, value)
		}
	}
	for _, m := range k.neededMounts() {
		if !slices.ContainsFunc(k.fetch.Get().VolumeMounts, func(have corev1.VolumeMount) bool { return have.Name == m.Name }) {
			k.fetch.AddVolumeMount(m)
		}
	}
}

func (k *keyVault) neededMounts() []corev1.VolumeMount {
	mounts := []corev1.VolumeMount{{Name: tokenVolume, MountPath: tokenDir, ReadOnly: true}}
	if len(k.plan.Env) > 0 {
		mounts = append(mounts, corev1.VolumeMount{Name: envVolume, MountPath: "/twelvefold/env"})
	}
	if len(k.plan.Files) > 0 {
		mounts = append(mounts, corev1.VolumeMount{Name: filesVolume, MountPath: "/twelvefold/files"})
	}
	return mounts
}

// neededVolumes hold the new content beside the old: an env file takes 2 MiB, a secret 25 KB.
func (k *keyVault) neededVolumes() []corev1.Volume {
	memory := func(name, size string) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: new(resource.MustParse(size))}}}
	}
	needed := []corev1.Volume{{Name: tokenVolume, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
			Audience: tokenAudience, ExpirationSeconds: new(int64(3600)), Path: "token"}}}}}}}
	if len(k.plan.Env) > 0 {
		needed = append(needed, memory(envVolume, "8Mi"))
	}
	if len(k.plan.Files) > 0 {
		needed = append(needed, memory(filesVolume, "32Mi"))
	}
	return needed
}

// status tells what is brought.
func (k *keyVault) status() {
	for _, e := range k.plan.Env {
		k.Done("env %s: %s/%s", e.Key, e.Vault, e.Name)
	}
	for _, f := range k.plan.Files {
		k.Done("file %s: %s/%s", f.Path, f.Vault, f.Name)
	}
}

const noRotation = "this version gets secrets when the pod starts, and not again"

// skipLater tells what the pod asks for and this version does not do.
func (k *keyVault) skipLater() {
	if _, set := k.Annotation(csiAnnotation); set {
		k.Skip("annotation %s: this version leaves CSI volumes alone", csiAnnotation)
	}
	for _, v := range k.Edit.Pod().Spec.Volumes {
		if v.FlexVolume != nil && v.FlexVolume.Driver == "azure/kv" {
			k.Skip("volume %s: this version does not rewrite the FlexVolume azure/kv", v.Name)
		}
	}
	if k.fetch == nil && len(k.values)+len(k.env)+len(k.files) == 0 {
		return
	}
	if kind := k.policy.Identity.Kind; kind != "" && kind != "workload" {
		k.Skip("identity %s: this version signs in by workload identity only", kind)
	}
	if rotation, asked := k.Annotation(rotationAnnotation); !asked && k.policy.Rotation != "" && k.policy.Rotation != "none" {
		k.Skip("rotation %s: %s", k.policy.Rotation, noRotation)
	} else if rotation != "" && rotation != "none" {
		k.Skip("annotation %s: %s", rotationAnnotation, noRotation)
	}
}
