package rules

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"twelvefold.dev/internal/policy"
)

// unbounded-emptydir
//
//	restricted: volumes[*].emptyDir
//	allowed:    sizeLimit; limits.ephemeral-storage of every container, for volumes on disk; volumes that nobody mounts
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "unbounded-emptydir", Factor: "VI", Levels: policy.At(policy.Warn), Params: scratchParams{SizeLimit: "1Gi"}, Repair: policy.OnRequest},
		Page: policy.Page{
			Title:   "A scratch directory may fill its node",
			Why:     "An emptyDir without sizeLimit grows until the node's disk is full. Then the kubelet evicts pods, others' among them. One with medium: Memory counts as the memory of whoever writes to it, and ends in an OOM kill.",
			Fix:     "Say how large it may become, with a reserve: only a pod that goes beyond is evicted, and its replacement starts empty.",
			Allowed: "A limit for ephemeral-storage on every container bounds them all, but for medium: Memory. Volumes that only injected sidecars mount are theirs, and those that Twelvefold adds are bounded by what reads them.",
			Repair:  "sizeLimit is set (params: sizeLimit, 1Gi). It is on request because a pod that needs more is evicted.",
			Example: "volumes:\n- name: tmp\n  emptyDir: {sizeLimit: 256Mi}\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			s.unbounded(func(i int, seen string) {
				report(Violation{Path: emptyDirPath(s.Pod.Spec.Volumes[i].Name), Message: seen, Fix: "bound it: emptyDir: {sizeLimit: <size>}"})
			})
		},
		Mend: func(s *Subject, done func(Repaired)) {
			s.unbounded(func(i int, _ string) {
				size := Params[scratchParams](s).SizeLimit
				s.edit.SetEmptyDirSizeLimit(i, resource.MustParse(size))
				done(Repaired{Path: emptyDirPath(s.Pod.Spec.Volumes[i].Name), What: fmt.Sprintf("the volume %s is bounded to %s", s.Pod.Spec.Volumes[i].Name, size)})
			})
		},
	})
}

func emptyDirPath(volume string) string { return fmt.Sprintf("spec.volumes[name=%q].emptyDir", volume) }

// unbounded finds the volumes that may grow, and says what they may fill.
func (s *Subject) unbounded(found func(i int, seen string)) {
	bounded := boundsDisk(s.Pod)
	for i := range s.Pod.Spec.Volumes {
		v := &s.Pod.Spec.Volumes[i]
		if strings.HasPrefix(v.Name, "twelvefold-") { // that of logs is bounded by what drains it: a limit would evict the pod
			continue
		}
		if v.EmptyDir == nil || v.EmptyDir.SizeLimit != nil && !v.EmptyDir.SizeLimit.IsZero() || !s.mounts(v.Name) {
			continue
		}
		seen := "may fill the node's disk"
		if v.EmptyDir.Medium != corev1.StorageMediumDefault {
			seen = "may fill the memory of the containers that write to it"
		} else if bounded {
			continue
		}
		found(i, seen)
	}
}

// boundsDisk says whether the kubelet evicts the pod before its volumes fill the disk.
func boundsDisk(pod *corev1.Pod) bool {
	for _, c := range pod.Spec.Containers {
		if c.Resources.Limits.StorageEphemeral().IsZero() {
			return false
		}
	}
	return true
}

// mounts says whether one of the team's containers mounts a volume.
func (s *Subject) mounts(volume string) bool {
	for _, c := range s.containers {
		for _, m := range c.VolumeMounts {
			if m.Name == volume {
				return true
			}
		}
	}
	return false
}
