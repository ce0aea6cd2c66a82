package podpatch

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// SetVolumeEmptyDir makes the i-th volume, which must be a FlexVolume or a CSI volume, an emptyDir.
func (b *Builder) SetVolumeEmptyDir(i int, dir *corev1.EmptyDirVolumeSource) {
	v := &b.pod.Spec.Volumes[i]
	superseded := "csi"
	if v.FlexVolume != nil {
		superseded, v.FlexVolume = "flexVolume", nil
	} else {
		v.CSI = nil
	}
	b.record("remove", fmt.Sprintf("/spec/volumes/%d/%s", i, superseded), nil)
	b.record("add", fmt.Sprintf("/spec/volumes/%d/emptyDir", i), dir.DeepCopy())
	v.EmptyDir = dir
}

// SetVolumeMountReadOnly makes the container's i-th mount read-only.
func (c *Container) SetVolumeMountReadOnly(i int) {
	c.b.record("add", c.pointer(fmt.Sprintf("volumeMounts/%d/readOnly", i)), true)
	c.Get().VolumeMounts[i].ReadOnly = true
}
