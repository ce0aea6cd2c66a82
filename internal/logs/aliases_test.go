package logs_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/logs"
)

func TestAlias(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "other"},
		{Name: "app", VolumeMounts: []corev1.VolumeMount{{Name: "logs", MountPath: "/var/log/app"}}}}}}
	for _, test := range []struct{ key, value, want string }{
		{logs.BanzaiAnnotation, "/var/log/date", "/var/log/date"},
		{logs.BanzaiAnnotation, "app:/a.log,other:/b.log", "app:/a.log other:/b.log"},
		{logs.BanzaiAnnotation, `["/a.log", "app:/b.log"]`, "/a.log app:/b.log"},
		{logs.TailingAnnotation, "s:logs:/var/log/app/a.log;:logs:/var/log/app/b.log; logs:/var/log/app/c.log;", "app:/var/log/app/a.log app:/var/log/app/b.log app:/var/log/app/c.log"},
		{logs.TailingAnnotation, "s:none:/var/log/app/a.log", "s:none:/var/log/app/a.log"}, // refused later, as it stands
		{logs.TailingAnnotation, "predefined", "predefined"},
		{"other", "/a.log", ""},
	} {
		if got := strings.Join(logs.Alias(test.key, test.value, pod), " "); got != test.want {
			t.Errorf("%s: %s: %q, want %q", test.key, test.value, got, test.want)
		}
	}
}

func FuzzAlias(f *testing.F) {
	f.Add("a:b:/c;d:/e", "b")
	f.Add(`["/a"]`, "")
	f.Fuzz(func(t *testing.T, value, volume string) {
		pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", VolumeMounts: []corev1.VolumeMount{{Name: volume, MountPath: "/"}}}}}}
		for _, key := range []string{logs.BanzaiAnnotation, logs.TailingAnnotation} {
			if n := len(logs.Alias(key, value, pod)); n > len(value)+1 {
				t.Errorf("%s: %q has %d items", key, value, n)
			}
		}
	})
}
