package rules

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"twelvefold.dev/internal/policy"
)

// hostDependencyParams are the parameters of host-dependency.
type hostDependencyParams struct {
	Paths []string `yaml:"paths"` // directories of the node's software, and sockets, with all below them
}

// host-dependency
//
//	restricted: containers[*].volumeMounts of hostPath volumes, and those of initContainers, ephemeralContainers
//	allowed:    what is no software: /var/lib, /var/log, /etc (host-state speaks of those that are writable)
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "host-dependency", Factor: "II", Levels: policy.At(policy.Deny), Params: hostDependencyParams{Paths: []string{
			"/usr", "/lib", "/lib64", "/opt", "/bin", "/sbin",
			"/run/docker.sock", "/run/docker", "/run/containerd", "/run/crio", "/run/cri-dockerd.sock", "/run/dockershim.sock", "/run/podman", "/run/k3s/containerd", "/run/buildkit",
			"/var/snap/microk8s/common/run"}}},
		Page: policy.Page{
			Title:   "A container uses software of its node",
			Why:     "What the app needs is then not in its image but on one kind of node: the next node image, which AKS rolls out by itself, has another version of it or none. Who can talk to the container runtime's socket is root on the node, whatever the pod's security context says; readOnly does not change that.",
			Fix:     "Put programs and libraries into the image. Build images in CI, or in the cluster with a builder that needs no daemon (BuildKit rootless, Kaniko, az acr build). Ask the Kubernetes API for containers instead of the runtime.",
			Allowed: "The node's time zone and its CA certificates are only audited. Pods of a DaemonSet are node agents: they are only audited, and denied by the profile strict unless exempted. /var/lib is no /lib.",
			Example: "image: contoso.azurecr.io/shop:1.4.2   # holds what it needs: no hostPath\n",
		},
		Check: checkHostDependency,
	})
}

// hostData are below the node's software, but data: whoever mounts them works without them, too.
var hostData = []string{"/usr/share/zoneinfo", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/etc/localtime", "/etc/timezone"}

func checkHostDependency(s *Subject, report func(Violation)) {
	software := Params[hostDependencyParams](s).Paths
	for _, c := range s.Containers() {
		var seen []string
		for _, m := range c.VolumeMounts {
			host := s.hostPath(m.Name)
			if host == nil || slices.Contains(seen, m.Name) {
				continue
			}
			seen = append(seen, m.Name)
			dir := path.Clean(host.Path)
			if below, ok := strings.CutPrefix(dir+"/", "/var/run/"); ok { // a link
				dir = path.Clean("/run/" + below)
			}
			data := belowAny(dir, hostData)
			if !data && !belowAny(dir, software) && !slices.Contains([]string{"/", "/run"}, dir) {
				continue
			}
			v := c.At(fmt.Sprintf(".volumeMounts[mountPath=%q]", m.MountPath), "depends on the node's "+host.Path, "put it into the image, and remove the hostPath volume")
			switch v.Levels = s.levels(); {
			case data:
				v.Max = policy.Audit
			case strings.HasPrefix(dir, "/run") || strings.Contains(dir, "/run/") && strings.HasSuffix(dir, ".sock"):
				v.Message, v.Fix = "reaches the node's "+host.Path+", by which it is root on the node", "ask the Kubernetes API instead, and remove the hostPath volume"
			}
			report(v)
		}
	}
}

// belowAny says whether a file is one of the directories, or below one.
func belowAny(file string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return file == dir || strings.HasPrefix(file, strings.TrimSuffix(dir, "/")+"/") })
}
