package integration

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestControlPlane: the server is of the version that the other tests speak of, with the features of that version.
func TestControlPlane(t *testing.T) {
	t.Parallel()
	out, stderr, code := kubectl(t, "", "version", "-o", "json")
	var version struct {
		ClientVersion, ServerVersion struct{ GitVersion, Major, Minor string }
	}
	if err := json.Unmarshal([]byte(out), &version); code != 0 || err != nil {
		t.Fatalf("kubectl version: exit status %d, %v: %s", code, err, stderr)
	}
	for who, v := range map[string]struct{ GitVersion, Major, Minor string }{"kubectl": version.ClientVersion, "server": version.ServerVersion} {
		if v.Major != "1" || v.Minor != "37" || !strings.HasPrefix(v.GitVersion, "v1.37.") {
			t.Errorf("%s is %+v, want v1.37", who, v)
		}
	}

	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace(t, map[string]string{"tier": "test"}), Name: "app"},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "app", Image: "registry.example/app:1", Env: []corev1.EnvVar{{
				Name: "A", ValueFrom: &corev1.EnvVarSource{FileKeyRef: &corev1.FileKeySelector{VolumeName: "v", Path: "env", Key: "K0"}},
			}}}},
			Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
		},
	}
	create(t, pod)
	if got := pod.Spec.Containers[0].Env[0].ValueFrom; got == nil || got.FileKeyRef == nil || got.FileKeyRef.Key != "K0" {
		t.Errorf("fileKeyRef did not survive: %+v", got)
	}
}
