package mutate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/policy"
)

// podWithVolume mounts a FlexVolume that asks for n secrets, or what is made of it.
func podWithVolume(n int, annotations map[string]string, change func(options map[string]string)) corev1.Pod {
	options := map[string]string{"keyvaultname": "shop", "keyvaultobjectnames": "", "keyvaultobjecttypes": strings.Repeat("secret;", n)}
	for i := range n {
		options["keyvaultobjectnames"] += fmt.Sprintf("s%d;", i)
	}
	if change != nil {
		change(options)
	}
	pod := podWith(annotations)
	pod.Spec.Volumes = []corev1.Volume{{Name: "kv", VolumeSource: corev1.VolumeSource{FlexVolume: &corev1.FlexVolumeSource{Driver: "azure/kv", Options: options}}}}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "kv", MountPath: "/kvmnt", SubPath: "a"}}
	return pod
}

func podWithClass(annotations map[string]string) corev1.Pod {
	pod := podWithVolume(1, annotations, nil)
	pod.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "secrets-store.csi.k8s.io", VolumeAttributes: map[string]string{"secretProviderClass": "shop"}}}
	return pod
}

// knowing are facts with a SecretProviderClass that has these parameters besides the vault and a secret.
func knowing(facts policy.Facts, parameters string) policy.Facts {
	facts.Object = func(kind, name string) []byte {
		if kind != "SecretProviderClass" || name != "shop" {
			return nil
		}
		return []byte(`{"apiVersion":"secrets-store.csi.x-k8s.io/v1","spec":{"provider":"azure","parameters":{` + parameters + `
			"keyvaultName":"shop","objects":"array: [{objectName: a, objectType: secret}]"}}}`)
	}
	return facts
}

// Volumes need no fileKeyRef, and count among the secrets of a pod.
func TestVolumeBounds(t *testing.T) {
	facts := inCluster()
	facts.Kubernetes = policy.Kubernetes{APIServer: 33, OldestKubelet: 33}
	edit, findings := keyVault(t, podWithVolume(500, nil, nil), "{}", facts)
	if len(findings) > 0 || len(edit.InitContainers()) != 1 || edit.Pod().Spec.Volumes[0].EmptyDir == nil {
		t.Errorf("500 secrets: %v", findings)
	}
	edit, findings = keyVault(t, podWithVolume(501, nil, nil), "{}", inCluster())
	wantDenied(t, edit, findings, "the pod wants 501 secrets; it may have 500")
	edit, findings = keyVault(t, podWithVolume(500, map[string]string{"env.twelvefold.dev/A": "https://shop.vault.azure.net/secrets/a"}, nil), "{}", inCluster())
	wantDenied(t, edit, findings, "the pod wants 501 secrets")
	edit, findings = keyVault(t, podWithVolume(400, nil, func(options map[string]string) {
		for i := range 400 {
			options["keyvaultobjectaliases"] += strings.Repeat("x", 250) + fmt.Sprint(i) + ";"
		}
	}), "{}", inCluster())
	wantDenied(t, edit, findings, "bytes; it may have 120000")
}

// In a cluster a class that nobody knows is refused: left alone, the volume would not be what the annotation says.
func TestUnknownClass(t *testing.T) {
	adopt := map[string]string{"twelvefold.dev/csi": "adopt"}
	facts := knowing(inCluster(), "")
	pod := podWithClass(adopt)
	pod.Spec.Volumes[0].CSI.VolumeAttributes["secretProviderClass"] = "other"
	edit, findings := keyVault(t, pod, "{}", facts)
	wantDenied(t, edit, findings, `spec.volumes[name="kv"].csi: the SecretProviderClass "other" is not known in namespace shop; create it`)
	edit, findings = keyVault(t, podWithClass(adopt), "{}", inCluster()) // nobody looks
	wantDenied(t, edit, findings, `the SecretProviderClass "shop" is not known`)
	edit, findings = keyVault(t, podWithClass(nil), "{}", inCluster())
	if len(findings) > 0 || edit.Pod().Spec.Volumes[0].CSI == nil {
		t.Errorf("without the annotation: %v", findings)
	}
}

// The class's client and tenant are used where the service account names none. A second pass, which sees no class any
// more, finds them in the fetch container.
func TestClassIdentity(t *testing.T) {
	const client, other = "55555555-5555-4555-8555-555555555555", "66666666-6666-4666-8666-666666666666"
	const parameters = `"clientID":"` + client + `","tenantID":"fabrikam.onmicrosoft.com",`
	annotations := map[string]string{"twelvefold.dev/csi": "adopt", "file.twelvefold.dev/b": "https://shop.vault.azure.net/secrets/b"}
	facts := knowing(inCluster(), parameters)
	facts.ServiceAccount = nil
	for _, spec := range []string{"{}", "{keyVault: {identity: {clientID: " + other + "}}}"} {
		edit, findings := keyVault(t, podWithClass(annotations), spec, facts)
		if len(findings) > 0 {
			t.Fatal(findings)
		}
		env := map[string]string{}
		for _, e := range edit.InitContainers()[0].Get().Env {
			env[e.Name] = e.Value
		}
		if env["AZURE_CLIENT_ID"] != client || env["AZURE_TENANT_ID"] != "fabrikam.onmicrosoft.com" {
			t.Errorf("%s: %v", spec, env)
		}
		again, findings := keyVault(t, *edit.Pod(), spec, facts)
		if len(findings) > 0 || len(again.Operations()) > 0 {
			t.Errorf("%s: the second pass: %v %v", spec, findings, again.Operations())
		}
	}

	facts.ServiceAccount = map[string]string{"azure.workload.identity/client-id": other, "azure.workload.identity/tenant-id": "11111111-1111-4111-8111-111111111111"}
	edit, findings := keyVault(t, podWithClass(annotations), "{}", facts) // a domain and an id may be the same tenant
	wantDenied(t, edit, findings, "is for another client than "+other)

	facts.ServiceAccount = nil
	pod := podWithClass(annotations)
	flex := podWithVolume(1, nil, func(options map[string]string) { options["tenantid"] = "contoso.onmicrosoft.com" }).Spec.Volumes[0]
	flex.Name = "flex"
	pod.Spec.Volumes = append(pod.Spec.Volumes, flex)
	edit, findings = keyVault(t, pod, "{}", facts)
	wantDenied(t, edit, findings, `spec.volumes[name="flex"].flexVolume: the FlexVolume azure/kv is for another tenant than fabrikam.onmicrosoft.com`)
}

// Another webhook put a container before fetch that mounts a volume which is still to be filled.
func TestVolumeOfContainerBeforeFetch(t *testing.T) {
	edit, findings := keyVault(t, podWith(nil, corev1.EnvVar{Name: "A", Value: reference}), "{}", inCluster())
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	pod := edit.Pod().DeepCopy()
	late := podWithVolume(1, nil, nil)
	pod.Spec.Volumes = append(pod.Spec.Volumes, late.Spec.Volumes...)
	pod.Spec.InitContainers = slices.Insert(pod.Spec.InitContainers, 0, corev1.Container{Name: "early", VolumeMounts: late.Spec.Containers[0].VolumeMounts})
	_, findings = keyVault(t, *pod, "{}", inCluster())
	if len(findings) != 1 || findings[0].Level != policy.Deny || !strings.Contains(findings[0].Message, "early starts before twelvefold-fetch") {
		t.Errorf("got %v", findings)
	}
}

// A volume that is filled from Key Vault is none to stream logs from, though it is an emptyDir now.
func TestVolumesOfSecretsAreNotStreamed(t *testing.T) {
	pod := podWithVolume(1, map[string]string{"twelvefold.dev/log-files": "/kvmnt/s0"}, nil)
	pod.Spec.Containers[0].VolumeMounts[0].SubPath = ""
	edit, findings := keyVault(t, pod, "{}", inCluster())
	if len(findings) > 0 || edit.Pod().Spec.Volumes[0].EmptyDir == nil {
		t.Fatal(findings)
	}
	for _, c := range edit.InitContainers() {
		if c.Name() == "twelvefold-tail" && slices.ContainsFunc(c.Get().VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "kv" }) {
			t.Errorf("the volume of secrets is mounted in %s", c.Name())
		}
	}
}

// What a volume tells of itself is not lost: subPath stays, and a mount that could be written is closed.
func TestMountsStayWhereTheyAre(t *testing.T) {
	edit, findings := keyVault(t, podWithVolume(1, nil, nil), "{}", inCluster())
	want := corev1.VolumeMount{Name: "kv", MountPath: "/kvmnt", SubPath: "a", ReadOnly: true}
	if mounts := edit.Containers()[0].Get().VolumeMounts; len(findings) > 0 || !cmp.Equal(mounts, []corev1.VolumeMount{want}) {
		t.Errorf("%v %v", findings, mounts)
	}
	fetch := edit.InitContainers()[0].Get().VolumeMounts
	if !cmp.Equal(fetch[len(fetch)-1], corev1.VolumeMount{Name: "kv", MountPath: "/twelvefold/volumes/kv"}) {
		t.Errorf("fetch has %v", fetch)
	}
}
