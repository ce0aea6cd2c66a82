package mutate

import (
	"fmt"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/logs"
	"twelvefold.dev/internal/podpatch"
)

const linksDir = "/links"

// linkFile puts a link into the place of a container's log file, in an empty volume over its directory, and says whether
// it is there. Where only logs lie in the directory the container can't write to it: a rotation by rename then fails
// loudly, where it would lose lines in silence.
func (s *logRepair) linkFile(c *podpatch.Container, file, to string) bool {
	if !s.linked(c.Name(), file) {
		dir := path.Dir(file)
		if why := s.unlinkable(c, file); why != "" {
			s.complain(c.Name(), fmt.Sprintf("%q can't be a link: %s", file, why), "write "+logRepairAnnotation+": stream")
			return false
		}
		mount := covering(c, dir)
		if mount == nil {
			mount = &corev1.VolumeMount{Name: s.addLogVolume(), MountPath: dir, ReadOnly: logs.OnlyLogs(dir)}
			c.AddVolumeMount(*mount)
		} else if s.readOnly(c, mount) {
			s.setReadOnly(c, mount.MountPath)
		}
		at := path.Join(s.linkMount(*mount), path.Base(file))
		s.links.Links = append(s.links.Links, logs.Link{File: logs.File{Container: c.Name(), Path: file, Mount: at}, To: to})
	}
	s.Done("%s: %s is a link to %s, made by %s", c.Name(), file, to, logs.LinkContainer)
	return true
}

// linked says whether a container's file is in the plan.
func (s *logRepair) linked(container, file string) bool {
	return slices.ContainsFunc(s.links.Links, func(l logs.Link) bool { return l.Container == container && l.Path == file })
}

// unlinkable says why a file can't be a link; empty if it can.
func (s *logRepair) unlinkable(c *podpatch.Container, file string) string {
	dir, m := path.Dir(file), covering(c, path.Dir(file))
	switch {
	case logs.IsGlob(path.Base(file)):
		return "its name is not known"
	case m == nil:
		return uncoverable(c, dir)
	case path.Clean(m.MountPath) != dir:
		return fmt.Sprintf("the volume is mounted at %q, not at its directory", m.MountPath)
	case m.SubPathExpr != "":
		return "the mount's subPathExpr depends on the container's environment"
	case m.ReadOnly && !s.holdsLinks(m):
		return "its directory is mounted read-only"
	}
	switch v := s.volume(m.Name); {
	case v == nil || v.EmptyDir == nil:
		return "its directory is a volume that outlives the pod"
	case s.shared(c, m.Name) || slices.ContainsFunc(s.plan.Files, func(f logs.File) bool { return f.Container == c.Name() && path.Dir(f.Path) == dir }):
		return "another container has its volume"
	}
	return ""
}

// readOnly says whether a mount of the user's is over nothing but the logs of a server whose image links them: no other
// directory is known that well.
func (s *logRepair) readOnly(c *podpatch.Container, m *corev1.VolumeMount) bool {
	dir := path.Clean(m.MountPath)
	return !m.ReadOnly && logs.ImageLinks(c.Get(), dir) != nil && logs.OnlyLogs(dir)
}

func (s *logRepair) setReadOnly(c *podpatch.Container, at string) {
	for i, m := range c.Get().VolumeMounts {
		if m.MountPath == at {
			c.SetVolumeMountReadOnly(i)
		}
	}
}

// holdsLinks says whether the init container has the mount's volume: then it is read-only by our own doing.
func (s *logRepair) holdsLinks(m *corev1.VolumeMount) bool {
	mounts := s.linkMounts
	if s.link != nil {
		mounts = append(slices.Clone(s.link.Get().VolumeMounts), mounts...)
	}
	return slices.ContainsFunc(mounts, func(have corev1.VolumeMount) bool { return have.Name == m.Name && have.SubPath == m.SubPath })
}

// linkMount is where the init container sees what a container has mounted.
func (s *logRepair) linkMount(m corev1.VolumeMount) string {
	mounts := slices.Clone(s.linkMounts)
	if s.link != nil {
		mounts = append(slices.Clone(s.link.Get().VolumeMounts), mounts...)
	}
	for _, other := range mounts {
		if other.Name == m.Name && other.SubPath == m.SubPath {
			return other.MountPath
		}
	}
	at := fmt.Sprintf("%s/%d", linksDir, len(mounts))
	s.linkMounts = append(s.linkMounts, corev1.VolumeMount{Name: m.Name, SubPath: m.SubPath, MountPath: at})
	return at
}

// writeLinks adds the init container, or gives the one that is there the new plan.
func (s *logRepair) writeLinks() {
	if s.link != nil {
		s.update(s.link, logs.LinksEnv, s.links, s.linkMounts)
		return
	}
	link := agentContainer(s.Context, logs.LinkContainer, "link")
	link.Env = []corev1.EnvVar{{Name: logs.LinksEnv, Value: inEnv(s.links)}}
	link.VolumeMounts = s.linkMounts
	s.insert(link)
}
