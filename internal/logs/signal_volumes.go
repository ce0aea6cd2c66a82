package logs

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// linked are the directories in which a server's image keeps links to stdout.
var linked = map[string][]string{
	"nginx":  {"/var/log/nginx"},
	"httpd":  {"/usr/local/apache2/logs", "/var/log/apache2", "/var/log/httpd"},
	"apache": {"/usr/local/apache2/logs", "/var/log/apache2", "/var/log/httpd"},
}

// volumeSignals are the writable volumes over log directories.
func volumeSignals(pod *corev1.Pod, c *corev1.Container) []Signal {
	if Collector(c) {
		return nil
	}
	var signals []Signal
	for _, m := range c.VolumeMounts {
		volume, known := volumeOf(pod, m.Name)
		if m.ReadOnly || known && readOnly(volume) {
			continue
		}
		s := Signal{Kind: Volume, Field: fmt.Sprintf(".volumeMounts[mountPath=%q]", m.MountPath), Path: path.Clean(m.MountPath)}
		switch host := volume.HostPath; {
		case host != nil && under(host.Path, "/var/log"):
			s.Name, s.Confidence, s.HostPath = "host-logs", Certain, host.Path
			s.Seen = fmt.Sprintf("%s is the node's %s", m.MountPath, host.Path)
			s.Instead = "remove the volume and log to stdout: the node's collector reads that"
		case hides(c, s.Path) && !restored(pod, m):
			s.Name, s.Confidence = "hidden-links", Certain
			s.Seen = fmt.Sprintf("%s hides the image's own links to stdout", m.MountPath)
			s.Instead = "remove the mount"
		case isLogDirectory(s.Path) && !transactions(c, s.Path, known && volume.PersistentVolumeClaim == nil):
			s.Name, s.Confidence = "log-directory", Likely
			if under(s.Path, "/opt/bitnami") { // their images link to stdout; the folder is there for a read-only root
				s.Confidence = Hint
			}
			s.Seen = fmt.Sprintf("a writable volume at %s", m.MountPath)
			s.Instead = "log to stdout and remove the volume"
		default:
			continue
		}
		signals = append(signals, s)
	}
	return signals
}

// volumeOf is a volume of the pod. A StatefulSet's claim templates are none yet in its template.
func volumeOf(pod *corev1.Pod, name string) (corev1.Volume, bool) {
	i := slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name })
	if i < 0 {
		return corev1.Volume{}, false
	}
	return pod.Spec.Volumes[i], true
}

// readOnly are the volumes that nobody can write to.
func readOnly(v corev1.Volume) bool {
	return v.ConfigMap != nil || v.Secret != nil || v.Projected != nil || v.DownwardAPI != nil || v.Image != nil
}

func isLogDirectory(dir string) bool {
	base := path.Base(dir)
	if dir == "/dev/log" { // syslog's socket
		return false
	}
	return base == "log" || base == "logs" || under(dir, "/var/log")
}

// hides says whether a mount lies over the directory in which the container's image links its logs to stdout.
func hides(c *corev1.Container, dir string) bool {
	for name, dirs := range linked {
		if program := program(c); program == name || strings.HasPrefix(program, name+"-unprivileged") {
			return slices.ContainsFunc(dirs, func(d string) bool { return under(d, dir) })
		}
	}
	return false
}

// restored says whether an init container writes to the same volume before: it may put the links back.
func restored(pod *corev1.Pod, mount corev1.VolumeMount) bool {
	return slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == mount.Name && !m.ReadOnly }) &&
			(c.Name == LinkContainer || !strings.HasPrefix(c.Name, "twelvefold-"))
	})
}

// taskLogs are logs that are a product's data, by its image: it shows to its users what their tasks have printed.
var taskLogs = map[string]string{"airflow": "/opt/airflow/logs", "harbor-jobservice": "/var/log/jobs"}

// transactions says whether a "log" is data: Kafka's log.dirs, ZooKeeper's transaction log, what a product shows of its
// users' tasks, or anything that persists below /var/lib, where the filesystem hierarchy keeps state.
func transactions(c *corev1.Container, dir string, ephemeral bool) bool {
	if !ephemeral && under(dir, "/var/lib") || taskLogs[program(c)] == dir {
		return true
	}
	for _, e := range c.Env {
		switch e.Name {
		case "KAFKA_LOG_DIRS", "KAFKA_CFG_LOG_DIRS", "ZOO_DATA_LOG_DIR":
			for _, data := range strings.Split(e.Value, ",") {
				if under(path.Clean(data), dir) || under(dir, path.Clean(data)) {
					return true
				}
			}
		}
	}
	return false
}

// under says whether a path is a directory or lies below it.
func under(file, dir string) bool {
	file, dir = path.Clean(file), path.Clean(dir)
	return file == dir || dir == "/" || strings.HasPrefix(file, dir+"/")
}
