package mutate

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/keyvault"
)

// adoptsCSI says whether the pod asks for its CSI volumes to be rewritten. Else they are left to their driver.
func (k *keyVault) adoptsCSI() bool {
	value, set := k.Annotation(csiAnnotation)
	if adopt := strings.TrimSpace(value) == "adopt"; adopt || !set {
		return adopt
	}
	k.refuse(annotationPath(csiAnnotation), "", "its only value is adopt", "write adopt, or leave it out: CSI volumes are then left to their driver")
	return false
}

func isSecretsStore(v corev1.Volume) bool {
	return v.CSI != nil && v.CSI.Driver == keyvault.SecretsStoreDriver
}

// readProviderClass reads the SecretProviderClass of a CSI volume.
func (k *keyVault) readProviderClass(i int, v corev1.Volume) {
	path := volumePath(v) + ".csi"
	const leave = "leave the volume to its driver: remove annotation " + csiAnnotation
	const orLeave = "; or " + leave
	name := v.CSI.VolumeAttributes["secretProviderClass"]
	if name == "" {
		k.refuse(path+`.volumeAttributes["secretProviderClass"]`, "", "it is missing, so nothing tells what the volume holds", "name the SecretProviderClass"+orLeave)
		return
	}
	var class []byte
	if k.Facts.Object != nil {
		class = k.Facts.Object("SecretProviderClass", name)
	}
	if class == nil {
		k.unknownClass(path, name, orLeave)
		return
	}
	secrets, problems := k.hosts.ProviderClass(class)
	for _, p := range problems {
		k.refuse(path, "", fmt.Sprintf("the SecretProviderClass %q can't be adopted: %s: %s", name, p.Field, p.Message), p.Fix+orLeave)
	}
	if len(problems) > 0 {
		return
	}
	if v.CSI.NodePublishSecretRef != nil {
		secrets.Unused = append(secrets.Unused, "nodePublishSecretRef")
	}
	k.adopt(adopted{index: i, name: v.Name, path: path, was: fmt.Sprintf("the SecretProviderClass %q", name), leave: leave + ", or ", SecretVolume: secrets})
}

func (k *keyVault) unknownClass(path, name, orLeave string) {
	message := fmt.Sprintf("the SecretProviderClass %q is not known in namespace %s", name, k.Facts.Namespace)
	if k.Facts.Offline { // it may be in the cluster
		k.Warn(path, "", message+", so the volume is left as it is", "give its manifest together with the pod's")
		return
	}
	k.refuse(path, "", message, "create it before the pod"+orLeave)
}
