package rules

import (
	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/policy"
)

// writable-rootfs
//
//	restricted: containers[*].securityContext.readOnlyRootFilesystem, and those of initContainers
//	allowed:    true; Windows, which knows no such thing; ephemeral containers
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "writable-rootfs", Factor: "V", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title:   "A container may change its own image",
			Why:     "A release can't be changed once it runs. Where the file system is writable it is: by an app that updates itself or writes state beside its code, and by an intruder, who needs a place for tools. What is written there is lost at the next restart.",
			Fix:     "Set readOnlyRootFilesystem, and mount an emptyDir where the app really writes; most apps need /tmp only. A few days of strace, or the errors of a test run, tell where.",
			Allowed: "Windows pods. Ephemeral containers, whose user brings tools along.",
			Example: "securityContext: {readOnlyRootFilesystem: true}\nvolumeMounts:\n- {name: tmp, mountPath: /tmp}\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			if onWindows(s.Pod) {
				return
			}
			for _, c := range s.Containers(Init, Sidecar, Main) {
				if sc := c.SecurityContext; sc == nil || sc.ReadOnlyRootFilesystem == nil || !*sc.ReadOnlyRootFilesystem {
					report(c.At(".securityContext.readOnlyRootFilesystem", "the root file system is writable", "set it to true, and mount an emptyDir where the app writes"))
				}
			}
		},
	})
}

func onWindows(pod *corev1.Pod) bool {
	return pod.Spec.OS != nil && pod.Spec.OS.Name == corev1.Windows || pod.Spec.NodeSelector[corev1.LabelOSStable] == "windows"
}
