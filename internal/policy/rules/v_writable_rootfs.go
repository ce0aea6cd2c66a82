package rules

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"twelvefold.dev/internal/policy"
)

// writable-rootfs
//
//	restricted: containers[*].securityContext.readOnlyRootFilesystem, and those of initContainers
//	allowed:    true; Windows, which knows no such thing; ephemeral containers
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "writable-rootfs", Factor: "V", Levels: policy.At(policy.Warn), Params: scratchParams{SizeLimit: "1Gi"}, Repair: policy.OnRequest},
		Page: policy.Page{
			Title:   "A container may change its own image",
			Why:     "A release can't be changed once it runs. Where the file system is writable it is: by an app that updates itself or writes state beside its code, and by an intruder, who needs a place for tools. What is written there is lost at the next restart.",
			Fix:     "Set readOnlyRootFilesystem, and mount an emptyDir where the app really writes; most apps need /tmp only. A few days of strace, or the errors of a test run, tell where.",
			Allowed: "Windows pods. Ephemeral containers, whose user brings tools along.",
			Repair:  "readOnlyRootFilesystem: true is set, and an emptyDir of its own (params: sizeLimit, 1Gi) is mounted at /tmp of a container that has nothing there. It is on request because an app that writes elsewhere fails then. A container that works in /tmp is left alone.",
			Example: "securityContext: {readOnlyRootFilesystem: true}\nvolumeMounts:\n- {name: tmp, mountPath: /tmp}\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			if onWindows(s.Pod) {
				return
			}
			for _, c := range s.Containers(Init, Sidecar, Main) {
				if c.writesRootfs() {
					report(c.At(".securityContext.readOnlyRootFilesystem", "the root file system is writable", "set it to true, and mount an emptyDir where the app writes"))
				}
			}
		},
		Mend: mendWritableRootfs,
	})
}

// scratchParams bound the volumes of apps' temporary files.
type scratchParams struct {
	SizeLimit string `yaml:"sizeLimit"` // a quantity: 1Gi
}

// Validate refuses what is no size.
func (p scratchParams) Validate() error { return aSize("sizeLimit", p.SizeLimit) }

func (c Container) writesRootfs() bool {
	sc := c.SecurityContext
	return sc == nil || sc.ReadOnlyRootFilesystem == nil || !*sc.ReadOnlyRootFilesystem
}

func mendWritableRootfs(s *Subject, done func(Repaired)) {
	if onWindows(s.Pod) {
		return
	}
	for _, c := range s.Containers(Init, Sidecar, Main) {
		if !c.writesRootfs() {
			continue
		}
		what := "the root file system is read-only"
		if !mountsAt(c.Container, "/tmp") {
			if livesIn(c.Container, "/tmp") {
				continue
			}
			name := s.freeVolume("tmp")
			limit := resource.MustParse(Params[scratchParams](s).SizeLimit)
			s.edit.AddVolume(corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &limit}}})
			c.edit.AddVolumeMount(corev1.VolumeMount{Name: name, MountPath: "/tmp"})
			what += ", but for an emptyDir at /tmp"
		}
		c.edit.SetReadOnlyRootFilesystem()
		done(c.repaired(".securityContext.readOnlyRootFilesystem", what))
	}
}

func mountsAt(c *corev1.Container, dir string) bool {
	return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return path.Clean(m.MountPath) == dir })
}

// livesIn says whether the image may hold, in a directory, what the container starts or where it works: a volume would
// hide it.
func livesIn(c *corev1.Container, dir string) bool {
	return slices.ContainsFunc(append(slices.Concat(c.Command, c.Args), c.WorkingDir), func(name string) bool {
		return path.Clean(name) == dir || strings.HasPrefix(path.Clean(name), dir+"/")
	})
}

// freeVolume is a name that none of the pod's volumes has: tmp, tmp-2, …
func (s *Subject) freeVolume(name string) string {
	free := name
	for n := 2; slices.ContainsFunc(s.Pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == free }); n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	return free
}

func onWindows(pod *corev1.Pod) bool {
	return pod.Spec.OS != nil && pod.Spec.OS.Name == corev1.Windows || pod.Spec.NodeSelector[corev1.LabelOSStable] == "windows"
}
