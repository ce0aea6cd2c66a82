package integration

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// reinvoked has a later webhook append a container that needs a secret, too.
func reinvoked(t *testing.T) {
	p := appendedTo(t, "app:1", func(c *corev1.Container) {
		c.Env = []corev1.EnvVar{{Name: "DB", Value: reference}}
	})
	checkResolved(t, p, 0)
	checkResolved(t, p, 1)
	if len(p.Spec.InitContainers) != 1 {
		t.Errorf("%d init containers; one fetches for both", len(p.Spec.InitContainers))
	}
}

// repaired has the API server default, mutate, have another webhook append to, and mutate again a pod with something to mend.
func repaired(t *testing.T) {
	p := appendedTo(t, "app:1.4.2", func(c *corev1.Container) {
		c.Command = []string{"sh", "-c", "cd /app && python app.py"}
		c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}}}
	})
	if got := p.Labels["app.kubernetes.io/version"]; got != "1.4.2" {
		t.Errorf("the pod's version is %q", got)
	}
	c := p.Spec.Containers[0]
	if got := c.Command[2]; got != "cd /app && exec python app.py" {
		t.Errorf("the script is %q", got)
	}
	if diff := cmp.Diff([]corev1.ContainerPort{{ContainerPort: 8080, Protocol: corev1.ProtocolTCP}}, c.Ports); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]corev1.EnvVar{{Name: "PYTHONUNBUFFERED", Value: "1"}}, c.Env); diff != "" {
		t.Errorf("env (-want +got):\n%s", diff)
	}
	var status struct{ Done map[string][]string }
	if err := json.Unmarshal([]byte(p.Annotations[statusAnnotation]), &status); err != nil || len(status.Done["repairs"]) != 4 {
		t.Errorf("the status %s: %v", p.Annotations[statusAnnotation], err)
	}
}

// appendedTo is a pod whose container is changed, and to which a later webhook has appended another one.
func appendedTo(t *testing.T, image string, change func(*corev1.Container)) (p *corev1.Pod) {
	t.Helper()
	ns := optedIn(t)
	mesh := appendingWebhook(t)
	mesh.Webhooks[0].NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": ns}}
	create(t, mesh)
	deleteAfter(t, mesh)
	until(t, "the other webhook is called", func() bool {
		p = pod(ns, image)
		change(&p.Spec.Containers[0])
		create(t, p)
		return len(p.Spec.Containers) == 2
	})
	return p
}

// appendingWebhook serves a webhook whose configuration sorts behind ours.
func appendingWebhook(t *testing.T) *admissionv1.MutatingWebhookConfiguration {
	t.Helper()
	const operations = `[{"op":"add","path":"/spec/containers/-","value":{"name":"mesh","image":"mesh:1","env":[{"name":"DB","value":"` + reference + `"}]}}]`
	url, ca := serveTLS(t, func(uid string, object []byte) string {
		var p corev1.Pod
		if err := json.Unmarshal(object, &p); err != nil || len(p.Spec.Containers) > 1 {
			return `{"uid":"` + uid + `","allowed":true}`
		}
		patch, _ := json.Marshal([]byte(operations)) // bytes always marshal
		return `{"uid":"` + uid + `","allowed":true,"patchType":"JSONPatch","patch":` + string(patch) + `}`
	})
	fail, none := admissionv1.Fail, admissionv1.SideEffectClassNone
	return &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: unique("zz-mesh")}, Webhooks: []admissionv1.MutatingWebhook{{
		Name: "append.mesh.test", ClientConfig: admissionv1.WebhookClientConfig{URL: &url, CABundle: ca}, FailurePolicy: &fail, SideEffects: &none,
		AdmissionReviewVersions: []string{"v1"},
		Rules: []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}}}},
	}}}
}
