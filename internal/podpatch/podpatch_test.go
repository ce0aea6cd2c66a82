package podpatch_test

import (
	"encoding/json"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"twelvefold.dev/internal/podpatch"
)

// edits are every edit there is, in an order in which each could disturb the next.
func edits(b *podpatch.Builder) {
	first := b.AllContainers()
	for i, v := range b.Pod().Spec.Volumes {
		if v.FlexVolume != nil || v.CSI != nil {
			b.SetVolumeEmptyDir(i, &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory})
		}
		if b.Pod().Spec.Volumes[i].EmptyDir != nil {
			b.SetEmptyDirSizeLimit(i, resource.MustParse("1Gi"))
		}
	}
	b.SetAnnotation("a/b~c", "1")
	b.SetAnnotation("d", "2")
	b.SetLabel("a/b~c", "1")
	b.SetLabel("d", "2")
	b.SetEnableServiceLinks(false)
	b.SetTerminationGracePeriod(30)
	b.SetActiveDeadline(60)
	b.InsertInitContainer(0, corev1.Container{Name: "fetch", Env: []corev1.EnvVar{{Name: "PLAN", Value: "{}"}, {Name: "X"}}})
	b.InsertInitContainer(len(b.InitContainers()), corev1.Container{Name: "tail"})
	b.AddVolume(corev1.Volume{Name: "env"})
	b.AddVolume(corev1.Volume{Name: "files"})
	fetch := b.InitContainers()[0]
	fetch.InsertEnv(0, corev1.EnvVar{Name: "FIRST", Value: "1"})
	fetch.SetEnvValue(1, `{"env":[]}`)
	for _, c := range first {
		for i, e := range c.Get().Env {
			if e.Value == "replace" {
				c.SetEnvValueFrom(i, &corev1.EnvVarSource{FileKeyRef: &corev1.FileKeySelector{VolumeName: "env", Path: "env", Key: "K0"}})
			}
			if e.Value == "set" {
				c.SetEnvValue(i, "")
			}
		}
		for i, m := range c.Get().VolumeMounts {
			if m.Name != "" {
				c.SetVolumeMountReadOnly(i)
			}
		}
		c.SetCommand(append([]string{"wrapper"}, c.Get().Command...))
		c.SetArgs([]string{"a"})
		c.SetImagePullPolicy(corev1.PullAlways)
		c.SetReadOnlyRootFilesystem()
		c.SetReadOnlyRootFilesystem()
		c.AddPort(corev1.ContainerPort{ContainerPort: 80})
		c.AddPort(corev1.ContainerPort{ContainerPort: 81})
		c.SetLimit("example.com/a", resource.MustParse("1"))
		c.SetRequest(corev1.ResourceCPU, resource.MustParse("50m"))
		c.SetRequest(corev1.ResourceMemory, resource.MustParse("64Mi"))
		for _, h := range c.Hooks() {
			h.SetCommand(append([]string{"wrapper"}, h.Command()...))
		}
		c.InsertEnv(0, corev1.EnvVar{Name: "HELPER", Value: "replace"})
		c.SetEnvValueFrom(0, &corev1.EnvVarSource{})
		c.AddVolumeMount(corev1.VolumeMount{Name: "files", MountPath: "/a"})
		c.AddVolumeMount(corev1.VolumeMount{Name: "env", MountPath: "/b"})
	}
}

var pods = []string{
	`{}`,
	`{"metadata":null,"spec":null}`,
	`{"metadata":{"annotations":null},"spec":{"containers":null,"initContainers":[],"volumes":null}}`,
	`{"metadata":{"annotations":{"d":"old","new":"kept"},"unknown":1},"spec":{"containers":[{"name":"a","env":null},{"name":"b","env":[]}]}}`,
	`{"spec":{"future":{"x":[1.0,2e3]},"containers":[{"name":"a","future":true,
	  "env":[{"name":"A","value":"replace","future":1},{"name":"B","value":"set","future":2},{"name":"C","valueFrom":{"fieldRef":{"fieldPath":"x"},"future":3}}],
	  "volumeMounts":[{"name":"v","mountPath":"/v","future":4}],"livenessProbe":{"grpc":{"port":1},"future":5},
	  "readinessProbe":{"exec":{"command":["true"],"future":7},"future":8},"startupProbe":{"exec":{}},
	  "command":["app"],"lifecycle":{"preStop":{"exec":{"command":["stop"],"future":9},"future":10},"postStart":{"sleep":{}},"future":11}}],
	  "initContainers":[{"name":"i","restartPolicy":"Always","future":6,"resources":{"future":14},"securityContext":{"future":15}},{"resources":{"limits":{"cpu":"1"},"future":16},"ports":[{"containerPort":1,"future":17}]}],"volumes":[{"name":"v","future":{"y":null}},
	  {"name":"f","future":12,"flexVolume":{"driver":"d"}},{"csi":{"driver":"d"},"name":"c","future":13},{"name":"e","emptyDir":{"future":18}}]}}`,
}

func TestPatchRepeatsTheEdit(t *testing.T) {
	for _, raw := range pods {
		checkPatchRepeatsTheEdit(t, []byte(raw))
	}
}

func checkPatchRepeatsTheEdit(t *testing.T, raw []byte) {
	t.Helper()
	b, err := podpatch.Decode(raw)
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	edits(b)
	patched := apply(t, raw, b)
	again, err := podpatch.Decode(patched)
	if err != nil {
		t.Fatalf("%s: %v", patched, err)
	}
	if diff := cmp.Diff(normal(t, b.Pod()), normal(t, again.Pod())); diff != "" {
		t.Errorf("%s: the patched JSON is not the edited pod (-edited +patched):\n%s", raw, diff)
	}
}

// normal reads the pod back, so that empty and absent lists are the same.
func normal(t *testing.T, pod *corev1.Pod) (value any) {
	t.Helper()
	data, err := json.Marshal(pod)
	if err == nil {
		err = json.Unmarshal(data, &value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func apply(t *testing.T, raw []byte, b *podpatch.Builder) []byte {
	t.Helper()
	operations, err := json.Marshal(b.Operations())
	if err != nil {
		t.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch(operations)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := patch.Apply(raw)
	if err != nil {
		t.Fatalf("%s does not apply to %s: %v", operations, raw, err)
	}
	return patched
}

// Every value of the original that no edit replaces must be in the result, unknown fields included.
func TestUnknownFieldsSurvive(t *testing.T) {
	raw := pods[len(pods)-1]
	b, err := podpatch.Decode([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	edits(b)
	var got any
	if err := json.Unmarshal(apply(t, []byte(raw), b), &got); err != nil {
		t.Fatal(err)
	}
	counts := map[any]int{}
	count(got, counts)
	if counts["future"] != 21 || counts["y"] != 1 {
		t.Errorf("unknown fields were lost: %d of 21 are left: %v", counts["future"], got)
	}
}

func count(v any, counts map[any]int) {
	switch v := v.(type) {
	case map[string]any:
		for key, item := range v {
			counts[key]++
			count(item, counts)
		}
	case []any:
		for _, item := range v {
			count(item, counts)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, raw := range []string{``, ` null`, `[]`, `{"spec":{"containers":{}}}`, `{"spec":{"containers":[]},"spec":{}}`, `{"spec":`, `{"spec":{"containers":[null]}}`} {
		if _, err := podpatch.Decode([]byte(raw)); err == nil {
			t.Errorf("%q was accepted", raw)
		}
	}
}

func FuzzPatchRepeatsTheEdit(f *testing.F) {
	for _, raw := range pods {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := podpatch.Decode(raw); err != nil {
			return // not a pod
		}
		checkPatchRepeatsTheEdit(t, raw)
	})
}
