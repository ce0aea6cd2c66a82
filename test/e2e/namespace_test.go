//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A place is a namespace of one test. PodSecurity enforces restricted in it.
type place struct {
	*environment
	t    *testing.T
	name string
}

// newPlace makes a namespace with more labels, and deletes it after the test.
func newPlace(t *testing.T, name string, labels map[string]string) place {
	t.Helper()
	ctx := t.Context()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "e2e-" + name + "-",
		Labels:       map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	for key, value := range labels {
		object.Labels[key] = value
	}
	object, err := cluster.kube.CoreV1().Namespaces().Create(ctx, object, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(ctx) // the test's own ends before its cleanups
		if t.Failed() {
			t.Logf("namespace %s:\n%s\nwebhook:\n%s", object.Name, cluster.describe(ctx, object.Name), cluster.describe(ctx, webhookPlace))
		}
		if err := cluster.kube.CoreV1().Namespaces().Delete(ctx, object.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return place{cluster, t, object.Name}
}

// optedIn makes a namespace that Twelvefold looks after.
func optedIn(t *testing.T, name string) place {
	t.Helper()
	return newPlace(t, name, map[string]string{"twelvefold.dev/admission": "enabled"})
}

// apply applies manifests and returns the warnings.
func (p place) apply(manifest string, options ...client.ApplyOption) []string {
	p.t.Helper()
	warnings, err := p.environment.apply(p.t.Context(), p.name, manifest, options...)
	if err != nil {
		p.t.Fatal(err)
	}
	return warnings
}

// applyManifest applies a file of testdata.
func (p place) applyManifest(file string) {
	p.t.Helper()
	if err := p.applyFile(p.t.Context(), p.name, file); err != nil {
		p.t.Fatal(err)
	}
}

// output is what a command prints in a pod's first container.
func (p place) output(pod corev1.Pod, argv ...string) string {
	p.t.Helper()
	out, err := p.exec(p.t.Context(), pod, pod.Spec.Containers[0].Name, argv...)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// running waits until the Deployment's only pod is ready, and returns it.
func (p place) running(deployment string) corev1.Pod {
	p.t.Helper()
	if err := p.rolledOut(p.t.Context(), p.name, deployment); err != nil {
		p.t.Fatal(err)
	}
	pods, err := p.pods(p.t.Context(), p.name, "app="+deployment)
	if err != nil || len(pods) != 1 {
		p.t.Fatalf("%d pods of %s, want 1: %v", len(pods), deployment, err)
	}
	return pods[0]
}

// eventually fails the test where it isn't so before patience ends.
func (p place) eventually(ask func(context.Context) error) {
	p.t.Helper()
	if err := eventually(p.t.Context(), ask); err != nil {
		p.t.Fatal(err)
	}
}

// mustHaveAll fails the test where a text lacks one of the parts.
func mustHaveAll(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s lacks %q:\n%s", what, part, text)
		}
	}
}
