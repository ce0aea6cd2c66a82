package charts

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// modes are the values for each source of certificates.
var modes = map[string][]string{
	"self":         nil,
	"cert-manager": {"certificates.mode=cert-manager", "certificates.issuerRef.name=ours"},
	"secret":       {"certificates.mode=secret", "certificates.secretName=ours", "certificates.caBundle=-----BEGIN CERTIFICATE-----"},
}

func TestCertificates(t *testing.T) {
	const deployment, mutating, validating = "Deployment/twelvefold-webhook", "MutatingWebhookConfiguration/aa-twelvefold", "ValidatingWebhookConfiguration/aa-twelvefold"
	t.Run("self", func(t *testing.T) {
		all := render(t)
		pod := get[*appsv1.Deployment](t, all, deployment).Spec.Template.Spec
		mustHaveArg(t, pod.Containers[0], "--ca-secret=twelvefold-ca")
		if len(pod.Volumes) != 0 {
			t.Errorf("volumes %v, want none", pod.Volumes)
		}
		for _, w := range get[*admissionv1.MutatingWebhookConfiguration](t, all, mutating).Webhooks {
			if w.ClientConfig.CABundle != nil {
				t.Error("the chart owns caBundle: upgrades would fight the webhook for it")
			}
		}
	})
	t.Run("cert-manager", func(t *testing.T) {
		all := render(t, modes["cert-manager"]...)
		certificate := get[*unstructured.Unstructured](t, all, "Certificate/twelvefold-webhook")
		names, _, _ := unstructured.NestedStringSlice(certificate.Object, "spec", "dnsNames")
		if diff := cmp.Diff([]string{"twelvefold-webhook." + namespace + ".svc"}, names); diff != "" {
			t.Error(diff)
		}
		secret, _, _ := unstructured.NestedString(certificate.Object, "spec", "secretName")
		mustMount(t, get[*appsv1.Deployment](t, all, deployment), secret)
		for _, annotations := range []map[string]string{
			get[*admissionv1.MutatingWebhookConfiguration](t, all, mutating).Annotations,
			get[*admissionv1.ValidatingWebhookConfiguration](t, all, validating).Annotations,
		} {
			if got, want := annotations["cert-manager.io/inject-ca-from"], namespace+"/twelvefold-webhook"; got != want {
				t.Errorf("CA injected from %q, want %q", got, want)
			}
		}
	})
	t.Run("secret", func(t *testing.T) {
		all := render(t, modes["secret"]...)
		mustMount(t, get[*appsv1.Deployment](t, all, deployment), "ours")
		for _, w := range get[*admissionv1.ValidatingWebhookConfiguration](t, all, validating).Webhooks {
			if got := string(w.ClientConfig.CABundle); got != "-----BEGIN CERTIFICATE-----" {
				t.Errorf("%s: caBundle %q", w.Name, got)
			}
		}
	})
}

func mustMount(t *testing.T, d *appsv1.Deployment, secret string) {
	t.Helper()
	pod := d.Spec.Template.Spec
	if len(pod.Volumes) != 1 || pod.Volumes[0].Secret.SecretName != secret {
		t.Fatalf("volumes %v, want Secret %s", pod.Volumes, secret)
	}
	mounts := pod.Containers[0].VolumeMounts
	if len(mounts) != 1 || mounts[0].Name != pod.Volumes[0].Name {
		t.Fatalf("mounts %v", mounts)
	}
	mustHaveArg(t, pod.Containers[0], "--tls-dir="+mounts[0].MountPath)
}
