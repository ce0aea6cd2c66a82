package integration

import (
	"encoding/json"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
)

// TestFixturesAreAccepted shows that the API server takes every mutated fixture whose original it takes, to the last field.
func TestFixturesAreAccepted(t *testing.T) {
	ns := namespace(t, nil)
	accepted := 0
	for _, file := range reviewtest.Files(t, "../../internal/mutate/testdata/*/*/in.yaml") {
		for _, in := range reviewtest.Load(t, file) {
			if _, hasPod, err := in.Object.Template(); err != nil || !hasPod {
				continue
			}
			verdict, err := review.Mutate(in)
			if err != nil {
				t.Fatal(err)
			}
			if verdict.Denied() || tryPod(t, fixturePod(t, ns, in.Object)) != nil {
				continue
			}
			accepted++
			if err := tryPod(t, fixturePod(t, ns, reviewtest.Apply(t, in.Object, verdict))); err != nil {
				t.Errorf("%s: %s: %v", filepath.Dir(file), in.Object.Name, err)
			}
		}
	}
	if accepted < 50 {
		t.Errorf("the API server takes the originals of %d pods only", accepted)
	}
}

// fixturePod is the pod of an object, as its controller would create it.
func fixturePod(t *testing.T, namespace string, o manifest.Object) *unstructured.Unstructured {
	t.Helper()
	template, _, err := o.Template()
	if err != nil {
		t.Fatal(err)
	}
	pod := &unstructured.Unstructured{}
	if err := json.Unmarshal(template.JSON, &pod.Object); err != nil {
		t.Fatal(err)
	}
	pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	if _, found, _ := unstructured.NestedString(pod.Object, "spec", "serviceAccountName"); !found { // admission does so in a whole cluster
		if err := unstructured.SetNestedField(pod.Object, "default", "spec", "serviceAccountName"); err != nil {
			t.Fatal(err)
		}
	}
	pod.SetName(unique("pod"))
	pod.SetNamespace(namespace)
	return pod
}

// tryPod is why the API server would not take a pod, unknown fields included.
func tryPod(t *testing.T, pod *unstructured.Unstructured) error {
	t.Helper()
	return admin.Create(t.Context(), pod, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
}
