package mutate_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"twelvefold.dev/internal/mutate"
	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review/reviewtest"
)

// inCluster are the facts of a request: the service account is known, and stands for an identity.
func inCluster() policy.Facts {
	facts := reviewtest.Facts
	facts.ServiceAccount = map[string]string{
		"azure.workload.identity/client-id": "22222222-2222-4222-8222-222222222222",
		"azure.workload.identity/tenant-id": "contoso.onmicrosoft.com",
	}
	return facts
}

const reference = "@Microsoft.KeyVault(VaultName=shop;SecretName=a)"

func podWith(annotations map[string]string, env ...corev1.EnvVar) corev1.Pod {
	return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Annotations: annotations},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "shop:1", Env: env}}}}
}

// keyVault mutates a pod and gives what the Key Vault job has to say.
func keyVault(t *testing.T, pod corev1.Pod, spec string, facts policy.Facts) (*podpatch.Builder, []policy.Finding) {
	t.Helper()
	raw, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	edit, err := podpatch.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse([]byte(fmt.Sprintf("apiVersion: %s\nkind: %s\nspec: %s\n", policy.APIVersion, policy.Kind, spec)), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	findings, _ := mutate.Run(edit, p.For(facts.Namespace, nil), facts)
	return edit, slices.DeleteFunc(findings, func(f policy.Finding) bool { return f.Rule != "keyvault" })
}

// wantDenied checks that there is one denial for each text, and that the pod was left alone.
func wantDenied(t *testing.T, edit *podpatch.Builder, findings []policy.Finding, wants ...string) {
	t.Helper()
	if len(findings) != len(wants) {
		t.Errorf("%d findings, want %d: %v", len(findings), len(wants), findings)
	}
	for _, want := range wants {
		if !slices.ContainsFunc(findings, func(f policy.Finding) bool { return f.Level == policy.Deny && strings.Contains(f.String(), want) }) {
			t.Errorf("no denial with %q in %v", want, findings)
		}
	}
	for _, c := range edit.InitContainers() {
		if c.Name() == "twelvefold-fetch" {
			t.Error("the fetch container was injected all the same")
		}
	}
}

// Before 1.35 there is no fileKeyRef: the agent's exec gives variables, and needs the command; files work as ever.
func TestOldClusters(t *testing.T) {
	for _, versions := range []policy.Kubernetes{{APIServer: 34, OldestKubelet: 34}, {APIServer: 36, OldestKubelet: 34}, {}} {
		facts := inCluster()
		facts.Kubernetes = versions
		annotations := map[string]string{"env.twelvefold.dev/B": "b", "twelvefold.dev/keyvault": "shop"}
		pod := podWith(annotations, corev1.EnvVar{Name: "A", Value: reference})
		edit, findings := keyVault(t, pod, "{}", facts)
		wantDenied(t, edit, findings, `spec.containers[name="app"].command: its secrets come by exec, for which the image's entrypoint must be known; write the container's command`)

		asked := 0
		facts.Entrypoint = func(image string) ([]string, []string, error) {
			asked++
			return []string{"/" + image}, nil, nil
		}
		edit, findings = keyVault(t, pod, "{}", facts)
		app := edit.Containers()[0].Get()
		if len(findings) > 0 || asked != 1 || !slices.Equal(app.Command, []string{"/twelvefold/bin/twelvefold-agent", "exec", "--", "/shop:1"}) || app.Env[0].Value != "@Twelvefold(K1)" {
			t.Errorf("%v: asked %d times: %v %v", versions, asked, findings, app)
		}

		annotations["twelvefold.dev/delivery"] = "env"
		edit, findings = keyVault(t, pod, "{}", facts)
		wantDenied(t, edit, findings, `spec.containers[name="app"].env[name="A"].value: variables from Key Vault by the kubelet need Kubernetes 1.35`, `env.twelvefold.dev/B"]: variables`)
		if !strings.Contains(fmt.Sprint(findings), "annotation file.twelvefold.dev/") {
			t.Errorf("no way out: %v", findings)
		}

		edit, findings = keyVault(t, podWith(map[string]string{"file.twelvefold.dev/b": "b", "twelvefold.dev/keyvault": "shop"}), "{}", facts)
		if len(findings) > 0 || len(edit.InitContainers()) != 1 || asked != 1 {
			t.Errorf("%v: a file: %v, asked %d times", versions, findings, asked)
		}
	}
}

// No registry is asked where the kubelet reads the env file, or where the command is known.
func TestNoLookAtTheImage(t *testing.T) {
	facts := inCluster()
	facts.Entrypoint = func(image string) ([]string, []string, error) {
		t.Errorf("asked for %s", image)
		return nil, nil, nil
	}
	keyVault(t, podWith(nil, corev1.EnvVar{Name: "A", Value: reference}), "{}", facts)
	pod := podWith(map[string]string{"twelvefold.dev/delivery": "exec"}, corev1.EnvVar{Name: "A", Value: reference})
	pod.Spec.Containers[0].Command = []string{"/app"}
	if _, findings := keyVault(t, pod, "{}", facts); len(findings) > 0 {
		t.Error(findings)
	}
}

// A manifest that was mutated offline, where no registry was asked, is wrapped in the cluster.
func TestExecIsCompletedLater(t *testing.T) {
	facts := inCluster()
	facts.Offline = true
	offline, findings := keyVault(t, podWith(map[string]string{"twelvefold.dev/delivery": "exec"}, corev1.EnvVar{Name: "A", Value: reference}), "{}", facts)
	if len(findings) != 1 || findings[0].Level != policy.Warn || !strings.Contains(findings[0].Message, "registries are not asked here") {
		t.Fatal(findings)
	}
	facts = inCluster()
	facts.Entrypoint = func(string) ([]string, []string, error) { return []string{"/app"}, []string{"serve"}, nil }
	online, findings := keyVault(t, *offline.Pod(), "{}", facts)
	app := online.Containers()[0].Get()
	if len(findings) > 0 || !slices.Contains(app.Command, "/app") || !slices.Equal(app.Args, []string{"serve"}) || len(app.VolumeMounts) != 2 {
		t.Errorf("%v %v", findings, app)
	}
}

// The rules see through the wrapper, and a placeholder is no secret.
func TestWrapperHidesNothing(t *testing.T) {
	facts := inCluster()
	pod := podWith(map[string]string{"twelvefold.dev/delivery": "exec"}, corev1.EnvVar{Name: "DB_PASSWORD", Value: reference},
		corev1.EnvVar{Name: "DB_URL", Value: "postgres://api:${" + reference + "}@db/shop"})
	pod.Spec.Containers[0].Command = []string{"sh", "-c", "apt-get install -y jq && exec app"}
	edit, findings := keyVault(t, pod, "{}", facts)
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	var found []string
	for _, f := range rules.Judge(rules.NewSubject(edit.Pod(), policy.Default(rules.Catalogue{}).For("shop", nil), facts)) {
		found = append(found, f.Rule)
	}
	if !slices.Contains(found, "runtime-install") || slices.Contains(found, "literal-secret") || slices.Contains(found, "credential-url") || slices.Contains(found, "suspect-secret") {
		t.Errorf("rules found %v", found)
	}
}

// In a cluster a service account without annotations is refused; what is no identity is no better than nothing.
func TestIdentity(t *testing.T) {
	pod := podWith(nil, corev1.EnvVar{Name: "A", Value: reference})
	for name, annotations := range map[string]map[string]string{
		"none":        nil,
		"no tenant":   {"azure.workload.identity/client-id": "22222222-2222-4222-8222-222222222222"},
		"placeholder": {"azure.workload.identity/client-id": "<client id>", "azure.workload.identity/tenant-id": "t"},
		"expansion":   {"azure.workload.identity/client-id": "22222222-2222-4222-8222-222222222222", "azure.workload.identity/tenant-id": "$(X)"},
	} {
		t.Run(name, func(t *testing.T) {
			facts := inCluster()
			facts.ServiceAccount = annotations
			edit, findings := keyVault(t, pod, "{}", facts)
			wantDenied(t, edit, findings, "kubectl annotate serviceaccount default -n shop azure.workload.identity/client-id=")
		})
	}
	facts := inCluster()
	facts.ServiceAccount = nil
	_, findings := keyVault(t, pod, "{keyVault: {identity: {clientID: 33333333-3333-4333-8333-333333333333, tenantID: t}}}", facts)
	if len(findings) > 0 {
		t.Errorf("the policy's identity: %v", findings)
	}
	for _, identity := range []string{"{kind: managed}", "{kind: service-principal, tenantID: t, secret: s}"} {
		if _, findings = keyVault(t, pod, "{keyVault: {identity: "+identity+"}}", facts); len(findings) > 0 {
			t.Errorf("%s: %v", identity, findings)
		}
	}
}

// A manifest that was mutated offline, where the identity was not known, gets it in the cluster.
func TestIdentityIsFilledInLater(t *testing.T) {
	facts := inCluster()
	facts.ServiceAccount, facts.Offline = nil, true
	pod := podWith(map[string]string{"file.twelvefold.dev/b": "https://shop.vault.azure.net/secrets/b"}, corev1.EnvVar{Name: "A", Value: reference})
	offline, findings := keyVault(t, pod, "{}", facts)
	if len(findings) != 1 || findings[0].Level != policy.Warn {
		t.Fatalf("offline: %v", findings)
	}
	online, findings := keyVault(t, *offline.Pod(), "{}", inCluster())
	if len(findings) > 0 {
		t.Errorf("in the cluster: %v", findings)
	}
	for _, e := range online.InitContainers()[0].Get().Env {
		if e.Value == "" {
			t.Errorf("%s is still empty", e.Name)
		}
	}
}

// Another webhook put a container before ours: it would start before its secrets are there.
func TestContainerBeforeFetch(t *testing.T) {
	edit, findings := keyVault(t, podWith(nil, corev1.EnvVar{Name: "A", Value: reference}), "{}", inCluster())
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	pod := edit.Pod().DeepCopy()
	pod.Spec.InitContainers = slices.Insert(pod.Spec.InitContainers, 0, corev1.Container{Name: "early", Env: []corev1.EnvVar{{Name: "A", Value: reference}}})
	_, findings = keyVault(t, *pod, "{}", inCluster())
	if len(findings) != 1 || findings[0].Level != policy.Deny || !strings.Contains(findings[0].Message, "before twelvefold-fetch") {
		t.Errorf("got %v", findings)
	}
	pod.Spec.InitContainers[0].Env = nil // a mesh's, say
	if _, findings = keyVault(t, *pod, "{}", inCluster()); len(findings) > 0 {
		t.Errorf("without a reference: %v", findings)
	}
}

// There is an end to what one pod may want, and it comes before the kubelet's.
func TestBounds(t *testing.T) {
	annotations := func(n, length int) map[string]string {
		all := map[string]string{"twelvefold.dev/keyvault": "shop"}
		for i := range n {
			all[fmt.Sprintf("env.twelvefold.dev/V%d", i)] = fmt.Sprintf("s%d%s", i, strings.Repeat("x", length))
		}
		return all
	}
	if _, findings := keyVault(t, podWith(annotations(500, 0)), "{}", inCluster()); len(findings) > 0 {
		t.Errorf("500 secrets: %v", findings)
	}
	edit, findings := keyVault(t, podWith(annotations(501, 0)), "{}", inCluster())
	wantDenied(t, edit, findings, "the pod wants 501 secrets; it may have 500")
	long := podWith(nil)
	for i := range 500 {
		name := fmt.Sprintf("V%d%s", i, strings.Repeat("X", 250))
		long.Spec.Containers[0].Env = append(long.Spec.Containers[0].Env, corev1.EnvVar{Name: name, Value: fmt.Sprintf("@Microsoft.KeyVault(VaultName=shop;SecretName=s%d)", i)})
	}
	edit, findings = keyVault(t, long, "{}", inCluster())
	wantDenied(t, edit, findings, "bytes; it may have 120000")
	edit, findings = keyVault(t, podWith(nil, corev1.EnvVar{Value: reference}), "{}", inCluster())
	wantDenied(t, edit, findings, "the agent would refuse its plan")
}

// What the policy hands to the agent is not expanded by the kubelet.
func TestAgentEnvironmentIsLiteral(t *testing.T) {
	edit, _ := keyVault(t, podWith(nil, corev1.EnvVar{Name: "A", Value: reference}), `{keyVault: {proxy: "http://proxy:8080/$(AZURE_TENANT_ID)"}}`, inCluster())
	for _, e := range edit.InitContainers()[0].Get().Env {
		if e.Name == "HTTPS_PROXY" && e.Value != "http://proxy:8080/$$(AZURE_TENANT_ID)" {
			t.Errorf("%s=%s", e.Name, e.Value)
		}
	}
}

// Two things that ask for one variable or file must mean the same secret.
func TestBindingClashes(t *testing.T) {
	spec := `{keyVault: {bindings: [
	  {vault: shop, env: {SAME: s, OTHER: b}, files: {f: a}},
	  {vault: shop, env: {SAME: s}, files: {f: other}},
	  {env: {NO_VAULT: a}}]}}`
	pod := podWith(map[string]string{"env.twelvefold.dev/OTHER": "https://shop.vault.azure.net/secrets/a"})
	edit, findings := keyVault(t, pod, spec, inCluster())
	wantDenied(t, edit, findings,
		`the policy's keyVault.bindings[0].env["OTHER"]: metadata.annotations["env.twelvefold.dev/OTHER"] sets OTHER too, from another secret`,
		`the policy's keyVault.bindings[1].files["f"]: the policy's keyVault.bindings[0].files["f"] sets f too`,
		`bindings[2].env["NO_VAULT"]: the reference can't be read: it names no vault`)
}

// A command that came after the last mutation leaves the placeholders to the app: such a pod is refused. Containers that
// are nobody's, and placeholders without exec, are let be.
func TestUnwrapped(t *testing.T) {
	edit, findings := keyVault(t, func() corev1.Pod {
		pod := podWith(map[string]string{"twelvefold.dev/delivery": "exec"}, corev1.EnvVar{Name: "A", Value: reference})
		pod.Spec.Containers[0].Command = []string{"/app"}
		return pod
	}(), "{}", inCluster())
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	effective := policy.Default(rules.Catalogue{}).For("shop", nil)
	pod := edit.Pod().DeepCopy()
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "istio-proxy", Env: pod.Spec.Containers[0].Env})
	if found := mutate.Unresolved(pod, effective); len(found) > 0 {
		t.Errorf("as mutated: %v", found)
	}
	pod.Spec.Containers[0].Command = []string{"/other"}
	if found := mutate.Unresolved(pod, effective); len(found) != 1 || found[0].Level != policy.Deny || found[0].Path != `spec.containers[name="app"].command` {
		t.Errorf("with another command: %v", found)
	}
	pod.Spec.Volumes = nil
	if found := mutate.Unresolved(pod, effective); len(found) > 0 {
		t.Errorf("without exec: %v", found)
	}
}
