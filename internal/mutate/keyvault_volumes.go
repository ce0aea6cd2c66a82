package mutate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/podpatch"
)

// adopted is a volume that another driver served. It becomes an emptyDir that the fetch container fills, with the same name
// and the same files, so that mounts and what the application reads stay as they are.
type adopted struct {
	index int
	name  string
	path  string // its source in the pod's spec
	was   string // for messages
	leave string // how to keep it from being rewritten, if that is possible
	keyvault.SecretVolume
}

const volumesDir = "/twelvefold/volumes/"

// readVolumes reads the volumes that other drivers would fill from Key Vault.
func (k *keyVault) readVolumes() {
	adopt := k.adoptsCSI()
	for i, v := range k.Edit.Pod().Spec.Volumes {
		switch {
		case v.EmptyDir != nil: // it is ours already, or it has two sources, which the API server refuses
		case isFlexVolume(v):
			k.readFlexVolume(i, v)
		case adopt && isSecretsStore(v):
			k.readProviderClass(i, v)
		}
	}
	k.checkVolumeIdentity()
}

// adopt takes a volume over, if nothing is wrong with it.
func (k *keyVault) adopt(v adopted) {
	if strings.HasPrefix(v.name, ownVolumePrefix) {
		k.refuse(v.path, "", "names of volumes that begin with "+ownVolumePrefix+" belong to Twelvefold", "rename the volume")
		return
	}
	for _, c := range k.Edit.InitContainers() {
		if k.fetch == nil || c == k.fetch {
			break
		}
		if slices.ContainsFunc(c.Get().VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == v.name }) {
			k.refuse(v.path, c.Name(), fmt.Sprintf("the container %s starts before %s, when the volume is still empty", c.Name(), fetchName), "insert it after "+fetchName)
		}
	}
	if v.ClientID != "" && !k.byWorkload() {
		v.ClientID, v.Unused = "", append(v.Unused, "clientID")
	}
	k.volumes = append(k.volumes, v)
	for _, f := range v.Files {
		k.files = append(k.files, injected{name: f.Path, volume: v.name, secret: f.Reference, from: v.path})
	}
}

func volumePath(v corev1.Volume) string { return fmt.Sprintf("spec.volumes[name=%q]", v.Name) }

// checkVolumeIdentity refuses volumes that name another tenant or client than the one that the agent signs in to.
func (k *keyVault) checkVolumeIdentity() {
	client, tenant := k.signedIn()
	for _, v := range k.volumes {
		if tenant = cmp.Or(tenant, v.TenantID); otherID(tenant, v.TenantID) {
			k.refuse(v.path, "", v.was+" is for another tenant than "+tenant+", which the pod's service account, the policy or another volume names",
				"let both name the same tenant, or leave it out of the volume")
		}
		if client = cmp.Or(client, v.ClientID); otherID(client, v.ClientID) {
			k.refuse(v.path, "", v.was+" is for another client than "+client+", which the pod's service account or another volume names",
				"let both name the same client, or leave it out of the volume")
		}
	}
}

// otherID says whether two ids differ. A tenant may be named by its id and by its domains, which can't be compared.
func otherID(a, b string) bool {
	return a != "" && b != "" && !strings.EqualFold(a, b) && clientID.MatchString(a) == clientID.MatchString(b)
}

// byWorkload says whether the agent signs in by the identity that a service account stands for. Other kinds of identities
// are the policy's own word.
func (k *keyVault) byWorkload() bool {
	return k.policy.Identity.Kind != managed && k.policy.Identity.Kind != servicePrincipal
}

// signedIn is what is known of the agent's identity, but for what the volumes say.
func (k *keyVault) signedIn() (client, tenant string) {
	if !k.byWorkload() {
		return "", k.policy.Identity.TenantID
	}
	client, tenant = strings.TrimSpace(k.Facts.ServiceAccount[clientAnnotation]), strings.TrimSpace(k.Facts.ServiceAccount[tenantAnnotation])
	if k.fetch != nil {
		for _, e := range k.fetch.Get().Env {
			switch e.Name {
			case "AZURE_CLIENT_ID":
				client = cmp.Or(client, e.Value)
			case "AZURE_TENANT_ID":
				tenant = cmp.Or(tenant, e.Value)
			}
		}
	}
	return client, cmp.Or(tenant, k.policy.Identity.TenantID)
}

// volumeIdentity is what volumes say of the agent's identity, now or in an earlier pass.
func (k *keyVault) volumeIdentity() (client, tenant string) {
	if len(volumesOf(k.plan)) > 0 {
		client, tenant = k.signedIn()
	}
	for _, v := range k.volumes {
		client, tenant = cmp.Or(client, v.ClientID), cmp.Or(tenant, v.TenantID)
	}
	return client, tenant
}

// checkPlannedVolumes refuses a plan that somebody else wrote, whose files would go astray.
func (k *keyVault) checkPlannedVolumes() {
	for _, name := range volumesOf(k.plan) {
		i := slices.IndexFunc(k.Edit.Pod().Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name })
		if strings.HasPrefix(name, ownVolumePrefix) || i < 0 || !isMemory(k.Edit.Pod().Spec.Volumes[i]) {
			k.refuse(k.fetchPath(), fetchName, fmt.Sprintf("the plan has files for the volume %q, which is no emptyDir in memory", name), "remove the container; it is injected anew")
		}
	}
}

// volumesOf are the names of the pod's volumes that a plan has files for.
func volumesOf(p keyvault.Plan) (names []string) {
	for _, f := range p.Files {
		if f.Volume != "" && !slices.Contains(names, f.Volume) {
			names = append(names, f.Volume)
		}
	}
	return names
}

func hasOwnFiles(p keyvault.Plan) bool {
	return slices.ContainsFunc(p.Files, func(f keyvault.FileItem) bool { return f.Volume == "" })
}

// ownFiles are the files that are not of a volume of the pod's.
func (k *keyVault) ownFiles() []injected {
	return slices.DeleteFunc(slices.Clone(k.files), func(in injected) bool { return in.volume != "" })
}

// rewriteVolumes replaces the source of volumes, and says what of it counts no more: the agent signs in as it does for all.
func (k *keyVault) rewriteVolumes() {
	for _, v := range k.volumes {
		k.Edit.SetVolumeEmptyDir(v.index, emptyDir(filesSize, corev1.StorageMediumMemory))
		unused := ""
		if len(v.Unused) > 0 {
			unused = "; not used of it: " + strings.Join(v.Unused, ", ")
		}
		k.Done("volume %s: filled by %s instead of %s%s", v.name, fetchName, v.was, unused)
	}
}

// protectVolumes makes all mounts of the volumes read-only but our own: what an application wrote there would be lost, and
// the files are replaced by renaming.
func (k *keyVault) protectVolumes() {
	ours := volumesOf(k.plan)
	if len(ours) == 0 {
		return
	}
	for _, c := range k.Edit.AllContainers() {
		if strings.HasPrefix(c.Name(), ownVolumePrefix) {
			continue
		}
		for i, m := range c.Get().VolumeMounts {
			if slices.Contains(ours, m.Name) && !m.ReadOnly {
				c.SetVolumeMountReadOnly(i)
				k.Done("volume %s: read-only in container %s", m.Name, c.Name())
			}
		}
	}
}

// holdsSecrets says whether a volume of the pod is filled from Key Vault.
func holdsSecrets(edit *podpatch.Builder, volume string) bool {
	for _, c := range edit.Pod().Spec.InitContainers {
		if c.Name != fetchName {
			continue
		}
		for _, e := range c.Env {
			if plan, err := keyvault.ParsePlan(e.Value); e.Name == keyvault.PlanEnv && err == nil && slices.Contains(volumesOf(plan), volume) {
				return true
			}
		}
	}
	return false
}
