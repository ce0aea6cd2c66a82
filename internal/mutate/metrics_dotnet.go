package mutate

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// dotnet-monitor and the app's runtime meet at a socket in a directory that both mount. The runtime goes to the monitor,
// and doesn't wait for it.
const (
	diagnosticVolume = "twelvefold-diag"
	diagnosticDir    = "/diag"
	diagnosticSocket = diagnosticDir + "/dotnet-monitor.sock"
	diagnosticPorts  = "DOTNET_DiagnosticPorts"
	monitorPort      = 52323 // of the monitor's other API, which gives dumps: on loopback, and behind its API key
)

func (c *Context) shareDiagnostics(at *endpoint, monitor *corev1.Container) error {
	get := at.app.Get()
	if taken(get, diagnosticDir) {
		return fmt.Errorf("the container has something else at %s", diagnosticDir)
	}
	if slices.Contains(c.takenPorts(), monitorPort) {
		return fmt.Errorf("its port %d is taken", monitorPort)
	}
	if value, _ := plainEnv(get, diagnosticPorts); strings.Contains(value, diagnosticSocket) {
		return fmt.Errorf("%s names %s already, and no volume is there", diagnosticPorts, diagnosticSocket)
	}
	if err := appendEnv(at.app, diagnosticPorts, ";", diagnosticSocket+",nosuspend"); err != nil {
		return err
	}
	if c.needsVolume(diagnosticVolume) {
		c.Edit.AddVolume(corev1.Volume{Name: diagnosticVolume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	}
	mount := corev1.VolumeMount{Name: diagnosticVolume, MountPath: diagnosticDir}
	at.app.AddVolumeMount(mount)
	monitor.VolumeMounts = append(monitor.VolumeMounts, mount)
	if user := c.userOf(at.app.Get()); user > 0 { // else the app couldn't open the monitor's socket
		monitor.SecurityContext.RunAsUser = new(user)
	}
	monitor.Resources.Requests[corev1.ResourceMemory] = resource.MustParse("64Mi")
	monitor.Resources.Limits[corev1.ResourceMemory] = resource.MustParse("256Mi")
	return nil
}

// userOf is the user that a container runs as, or 0 if the pod doesn't tell.
func (c *Context) userOf(get *corev1.Container) int64 {
	if s := get.SecurityContext; s != nil && s.RunAsUser != nil {
		return *s.RunAsUser
	}
	if s := c.Edit.Pod().Spec.SecurityContext; s != nil && s.RunAsUser != nil {
		return *s.RunAsUser
	}
	return 0
}

// runsDotnet says whether a container shows that it is a .NET app.
func runsDotnet(get *corev1.Container) bool {
	return runsProgram(get, "dotnet") || slices.ContainsFunc(get.Env, func(e corev1.EnvVar) bool {
		return strings.HasPrefix(e.Name, "DOTNET_") || strings.HasPrefix(e.Name, "ASPNETCORE_")
	})
}
