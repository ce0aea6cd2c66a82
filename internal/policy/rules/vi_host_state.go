package rules

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/policy"
)

// host-state
//
//	restricted: containers[*].volumeMounts of hostPath volumes, and those of initContainers, ephemeralContainers
//	allowed:    readOnly: true; character devices; the node's time zone
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "host-state", Factor: "VI", Levels: policy.At(policy.Deny)},
		Page: policy.Page{
			Title:   "A container writes to its node's disk",
			Why:     "What it writes stays on that node. After a drain, an upgrade or a scale-down the pod starts elsewhere without its data, or with what another pod left there; on AKS the node's image is replaced every week. A writable hostPath is also the shortest way from a container to root on the node.",
			Fix:     "Keep state in a backing service or a PersistentVolumeClaim, and scratch data in an emptyDir. What is only read, mount with readOnly: true.",
			Allowed: "readOnly mounts, character devices such as /dev/net/tun, and /etc/localtime. Pods of a DaemonSet are node agents: they are only audited, and denied by the profile strict unless exempted.",
			Example: "volumes:\n- name: cache\n  emptyDir: {sizeLimit: 1Gi}\n",
		},
		Check: checkHostState,
	})
}

// timeZones are read by libc, though nobody mounts them readOnly.
var timeZones = []string{"/etc/localtime", "/etc/timezone"}

func checkHostState(s *Subject, report func(Violation)) {
	for _, c := range s.Containers() {
		var seen []string
		for _, m := range c.VolumeMounts {
			host := s.hostPath(m.Name)
			if host == nil || m.ReadOnly || slices.Contains(seen, m.Name) || holdsNoState(host) {
				continue
			}
			seen = append(seen, m.Name)
			v := c.At(fmt.Sprintf(".volumeMounts[mountPath=%q]", m.MountPath),
				fmt.Sprintf("writes to the node's %s", host.Path),
				"take a PersistentVolumeClaim or an emptyDir, or add readOnly: true")
			v.Levels = s.levels()
			report(v)
		}
	}
}

func holdsNoState(host *corev1.HostPathVolumeSource) bool {
	return slices.Contains(timeZones, host.Path) || strings.HasPrefix(host.Path, "/usr/share/zoneinfo") ||
		host.Type != nil && *host.Type == corev1.HostPathCharDev
}

// hostPath is the node's directory behind a volume, or nil.
func (s *Subject) hostPath(volume string) *corev1.HostPathVolumeSource {
	for _, v := range s.Pod.Spec.Volumes {
		if v.Name == volume {
			return v.HostPath
		}
	}
	return nil
}
