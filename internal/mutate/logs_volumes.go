package mutate

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/podpatch"
)

const (
	logVolumePrefix = "twelvefold-logs-"
	ownVolumePrefix = "twelvefold-"
	tailLogsDir     = "/logs"
)

// seen makes a directory of a container visible to the sidecar, and says where it is there.
func (s *logRepair) seen(c *podpatch.Container, dir string) (string, bool) {
	mount := covering(c, dir)
	if mount == nil {
		if why := uncoverable(c, dir); why != "" {
			s.complain(c.Name(), fmt.Sprintf("no volume can be mounted at %q: %s", dir, why), "have the logs written to a directory of their own, or to a volume of yours")
			return "", false
		}
		mount = &corev1.VolumeMount{Name: s.addLogVolume(), MountPath: dir}
		c.AddVolumeMount(*mount)
	}
	if why := s.unstreamable(mount); why != "" {
		s.complain(c.Name(), fmt.Sprintf("the volume %s at %q is not streamed: %s", mount.Name, mount.MountPath, why), "name files of a volume that the application writes")
		return "", false
	}
	return path.Join(s.mount(*mount), strings.TrimPrefix(dir, path.Clean(mount.MountPath))), true
}

// covering is the container's mount that holds the directory: the deepest, for it hides the others. One of ours holds
// its own directory only: the image may have directories below that it must not hide.
func covering(c *podpatch.Container, dir string) *corev1.VolumeMount {
	var found *corev1.VolumeMount
	for _, m := range c.Get().VolumeMounts {
		at := path.Clean(m.MountPath)
		if !within(dir, at) || strings.HasPrefix(m.Name, logVolumePrefix) && at != dir {
			continue
		}
		if found == nil || len(at) > len(path.Clean(found.MountPath)) {
			found = m.DeepCopy()
		}
	}
	return found
}

// within says whether a path is a directory or lies below it.
func within(name, dir string) bool {
	return name == dir || dir == "/" || strings.HasPrefix(name, dir+"/")
}

// mount is where the sidecar sees what a container has mounted.
func (s *logRepair) mount(m corev1.VolumeMount) string {
	mounts := slices.Clone(s.mounts)
	if s.tail != nil {
		mounts = append(slices.Clone(s.tail.Get().VolumeMounts), mounts...)
	}
	n := 0
	for _, other := range mounts {
		if !within(other.MountPath, tailLogsDir) {
			continue
		}
		if other.Name == m.Name && other.SubPath == m.SubPath {
			return other.MountPath
		}
		n++
	}
	at := fmt.Sprintf("%s/%d", tailLogsDir, n)
	s.mounts = append(s.mounts, corev1.VolumeMount{Name: m.Name, SubPath: m.SubPath, MountPath: at,
		ReadOnly: !strings.HasPrefix(m.Name, logVolumePrefix)}) // in ours it deletes rotated files
	return at
}

// addLogVolume adds an emptyDir without a limit: going over one evicts the pod, and its logs with it.
func (s *logRepair) addLogVolume() string {
	for n := 0; ; n++ {
		if name := fmt.Sprintf("%s%d", logVolumePrefix, n); !s.hasVolume(name) {
			s.Edit.AddVolume(corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
			return name
		}
	}
}

func (s *logRepair) hasVolume(name string) bool { return s.volume(name) != nil }

func (s *logRepair) volume(name string) *corev1.Volume {
	volumes := s.Edit.Pod().Spec.Volumes
	if i := slices.IndexFunc(volumes, func(v corev1.Volume) bool { return v.Name == name }); i >= 0 {
		return &volumes[i]
	}
	return nil
}

// unstreamable says why the files of a mount are none to stream; empty if they are. Secrets must never get into logs,
// even if someone asks for it.
func (s *logRepair) unstreamable(m *corev1.VolumeMount) string {
	v := s.volume(m.Name)
	switch {
	case m.SubPathExpr != "":
		return "its subPathExpr depends on the container's environment"
	case m.ReadOnly && strings.HasPrefix(m.Name, logVolumePrefix):
		return "its files are links to stdout"
	case v == nil:
		return "the pod has no such volume"
	case v.Secret != nil, v.ConfigMap != nil, v.Projected != nil, v.DownwardAPI != nil, v.Image != nil,
		v.CSI != nil && v.CSI.Driver == "secrets-store.csi.k8s.io", holdsSecrets(s.Edit, v.Name):
		return "it holds configuration or secrets, not logs"
	case strings.HasPrefix(v.Name, ownVolumePrefix) && !strings.HasPrefix(v.Name, logVolumePrefix):
		return "it is Twelvefold's own"
	}
	return ""
}

// System trees, and directories that always hold more than logs.
var (
	systemTrees = []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/sbin", "/sys",
		"/usr/bin", "/usr/include", "/usr/lib", "/usr/lib64", "/usr/libexec", "/usr/sbin", "/run/secrets", "/var/run/secrets"}
	sharedDirs = []string{"/usr/local", "/usr/local/bin", "/usr/local/etc", "/usr/local/lib", "/usr/local/sbin", "/usr/local/share",
		"/usr/share", "/usr/src", "/var/cache", "/var/lib", "/var/run", "/var/spool", "/var/www"}
	topLevelLogDirs = []string{"/log", "/logs", "/tmp"}
)

// uncoverable says why an empty volume over the directory would break the container, by what its spec tells; empty if
// it would not.
func uncoverable(c *podpatch.Container, dir string) string {
	holds := func(file string) bool { return path.IsAbs(file) && within(path.Clean(file), dir) }
	container := c.Get()
	switch {
	case slices.ContainsFunc(systemTrees, func(tree string) bool { return within(dir, tree) }), slices.Contains(sharedDirs, dir):
		return "it belongs to the system"
	case path.Dir(dir) == "/" && !slices.Contains(topLevelLogDirs, dir):
		return "it holds more than logs"
	case holds(container.WorkingDir):
		return "the container's working directory lies there"
	case len(container.Command) > 0 && holds(ownCommand(container)[0]):
		return "the container's program lies there"
	}
	return ""
}
