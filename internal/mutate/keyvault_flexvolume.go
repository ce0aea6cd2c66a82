package mutate

import (
	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/keyvault"
)

// isFlexVolume says whether the volume is that of the driver of 2018. It is rewritten unasked: a cluster that has the driver
// is older than the oldest that is supported, and without the driver the pod would hang.
func isFlexVolume(v corev1.Volume) bool {
	return v.FlexVolume != nil && v.FlexVolume.Driver == keyvault.FlexVolumeDriver
}

func (k *keyVault) readFlexVolume(i int, v corev1.Volume) {
	path := volumePath(v) + ".flexVolume"
	secrets, problems := k.hosts.FlexVolume(v.FlexVolume.Options)
	for _, p := range problems {
		k.refuse(path+"."+p.Field, "", "the FlexVolume can't be rewritten: "+p.Message, p.Fix)
	}
	if len(problems) > 0 {
		return
	}
	if v.FlexVolume.SecretRef != nil {
		secrets.Unused = append(secrets.Unused, "secretRef")
	}
	k.adopt(adopted{index: i, name: v.Name, path: path, was: "the FlexVolume " + keyvault.FlexVolumeDriver, SecretVolume: secrets})
}
