package logs

import (
	"encoding/json"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// The annotations of other programs that stream log files by a sidecar.
const (
	BanzaiAnnotation  = "sidecar.logging-extensions.banzaicloud.io/tail" // the logging operator's tailer webhook
	TailingAnnotation = "tailing-sidecar"                                // SumoLogic's operator
)

// Alias reads an annotation of another program into what twelvefold.dev/log-files holds: items of [container:]/path. An
// item that can't be read stands there as written, to be refused like any other.
func Alias(key, value string, pod *corev1.Pod) []string {
	switch key {
	case BanzaiAnnotation:
		return banzai(value)
	case TailingAnnotation:
		return tailing(value, pod)
	}
	return nil
}

// banzai reads files separated by commas, or a JSON list of them.
func banzai(value string) []string {
	var list []string
	if json.Unmarshal([]byte(value), &list) == nil {
		return list
	}
	return strings.Split(value, ",")
}

// tailing reads [sidecar:]volume:path, separated by semicolons. The path is the one of the container that mounts the volume.
func tailing(value string, pod *corev1.Pod) (items []string) {
	for _, item := range strings.Split(value, ";") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		parts := strings.Split(item, ":")
		if len(parts) == 2 {
			parts = append([]string{""}, parts...)
		}
		if len(parts) == 3 {
			if name := mounter(pod, parts[1], parts[2]); name != "" {
				item = name + ":" + parts[2]
			}
		}
		items = append(items, item)
	}
	return items
}

// mounter is the main container that has the volume mounted above the file.
func mounter(pod *corev1.Pod, volume, file string) string {
	for i := range pod.Spec.Containers {
		for _, m := range pod.Spec.Containers[i].VolumeMounts {
			if m.Name == volume && under(path.Clean(file), m.MountPath) {
				return pod.Spec.Containers[i].Name
			}
		}
	}
	return ""
}
