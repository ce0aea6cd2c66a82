package integration

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"twelvefold.dev/test/freeport"
)

// TestWebhook runs the webhook's own binary behind a real API server: with the chart's configuration, rights and policy.
func TestWebhook(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "webhook")
	if out, err := exec.Command("go", "build", "-o", binary, "twelvefold.dev/cmd/webhook").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	port := freeport.Find(t)
	chart(t, port)
	azure := startAzure(t)
	allowRollouts(t, release, "twelvefold-webhook")
	allowScan(t, release, "twelvefold-webhook")
	before := older(t)
	optIn(t, before.Namespace)
	installMonitors(t)
	azure.policy(t, "off", false) // from the start, for rollouts to begin by its interval
	webhook := start(t, binary, port, append(azure.flags(), "--rollout", "--scan")...)

	shop := optedIn(t)
	until(t, "the API server calls the webhook, and trusts it", func() bool {
		p := pod(shop, "app:1")
		return admin.Create(t.Context(), p, client.DryRunAll) == nil && p.Annotations[statusAnnotation] != "" &&
			apierrors.IsInvalid(admin.Create(t.Context(), pod(shop, "app:latest"), client.DryRunAll))
	})
	t.Run("a changed secret is rolled out", func(t *testing.T) { rolledOut(t, azure) })
	t.Run("what ran before is scanned", func(t *testing.T) { scanned(t, webhook, before) })
	t.Run("a namespace without the label is untouched", untouched)
	t.Run("a reference becomes a fileKeyRef", mutated)
	t.Run("references in ConfigMaps with the label are resolved", fromConfigMap)
	t.Run("a denial shows every finding", denied)
	t.Run("a workload is warned about", warned)
	t.Run("a namespace's defaults count for templates", defaulted)
	t.Run("ephemeral containers are judged", ephemeral)
	t.Run("a dry run is answered alike", dryRun)
	t.Run("another webhook may add to the pod", reinvoked)
	t.Run("what rules find is repaired, once", repaired)
	t.Run("every job does its part of a pod", everything)
	t.Run("a pod that a monitor scrapes is not annotated", monitored)
	t.Run("requests are counted and not logged", func(t *testing.T) { observed(t, webhook) })
	t.Run("it has all the rights that it uses", func(t *testing.T) {
		if log := webhook.log.String(); strings.Contains(log, "forbidden") || !strings.Contains(log, `"objects of a kind are looked up","kind":"ConfigMap"`) {
			t.Errorf("the log:\n%s", log)
		}
	})
	t.Run("secrets are verified", func(t *testing.T) { verified(t, webhook, azure) })
	t.Run("a policy takes effect without a restart", reloaded)
	t.Run("kubectl shows what the page of denials says", shown)
	t.Run("a bad policy changes nothing, across a restart either", func(t *testing.T) {
		badPolicy(t, webhook, func() *process {
			webhook.stop(t)
			return start(t, binary, port)
		})
	})
}

func optedIn(t *testing.T) string {
	t.Helper()
	name := namespace(t, map[string]string{"twelvefold.dev/admission": "enabled"})
	create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "api", Annotations: map[string]string{
		"azure.workload.identity/client-id": "22222222-2222-4222-8222-222222222222",
		"azure.workload.identity/tenant-id": "11111111-1111-4111-8111-111111111111"}}})
	return name
}

func pod(namespace, image string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "app-", Labels: map[string]string{"app.kubernetes.io/name": "app"}},
		Spec:       corev1.PodSpec{ServiceAccountName: "api", Containers: []corev1.Container{{Name: "app", Image: image}}},
	}
}

const reference = "@Microsoft.KeyVault(VaultName=shop;SecretName=db-password)"

const statusAnnotation = "twelvefold.dev/status"

func untouched(t *testing.T) {
	p := pod(namespace(t, nil), "app:latest")
	p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "DB", Value: reference}}
	p.Spec.ServiceAccountName = ""
	create(t, p)
	if p.Annotations[statusAnnotation] != "" || p.Spec.Containers[0].Env[0].Value != reference || len(p.Spec.InitContainers) > 0 {
		t.Errorf("the pod was changed: %v", p)
	}
}

func mutated(t *testing.T) {
	p := pod(optedIn(t), "app:1")
	p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "DB", Value: reference}}
	create(t, p)
	checkResolved(t, p, 0)
	if p.Annotations[statusAnnotation] == "" {
		t.Error("there is no status")
	}
}

// checkResolved looks for the variable DB of a container, as it comes from Key Vault.
func checkResolved(t *testing.T, p *corev1.Pod, container int) {
	t.Helper()
	for _, e := range p.Spec.Containers[container].Env {
		if e.Name == "DB" && e.ValueFrom != nil && e.ValueFrom.FileKeyRef != nil {
			return
		}
	}
	t.Errorf("container %s has no DB from a file: %+v", p.Spec.Containers[container].Name, p.Spec.Containers[container].Env)
}

func denied(t *testing.T) {
	ns := optedIn(t)
	p := pod(ns, "app:latest")
	p.Name, p.GenerateName = "bad", ""
	p.Spec.HostNetwork = true
	err := admin.Create(t.Context(), p)
	status := apierrors.APIStatus(nil)
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) {
		t.Fatalf("error %v", err)
	}
	text, marshalErr := yaml.Marshal(pod(ns, "app:latest"))
	if marshalErr != nil {
		t.Fatal(marshalErr)
	}
	manifest := strings.Replace(string(text), "generateName: app-", "name: bad", 1)
	_, stderr, code := kubectl(t, "apiVersion: v1\nkind: Pod\n"+strings.Replace(manifest, "spec:\n", "spec:\n  hostNetwork: true\n", 1), "create", "-f", "-")
	if code == 0 || !strings.Contains(stderr, `The Pod "bad" is invalid:`) {
		t.Errorf("kubectl ends with %d and says:\n%s", code, stderr)
	}
	for _, want := range []struct{ field, message string }{
		{`spec.containers[name="app"].image`, "V/mutable-tag: "},
		{"spec.hostNetwork", "VII/host-network: "},
	} {
		found := false
		for _, cause := range status.Status().Details.Causes {
			found = found || cause.Field == want.field && strings.HasPrefix(cause.Message, want.message)
		}
		if !found {
			t.Errorf("no cause %v in %+v", want, status.Status().Details)
		}
		if !strings.Contains(stderr, "* "+want.field+": "+want.message) {
			t.Errorf("kubectl does not show %v:\n%s", want, stderr)
		}
	}
}

const sampleDeployment = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {selector: {matchLabels: {a: b}},
	template: {metadata: {labels: {a: b}}, spec: {containers: [{name: web, image: "IMAGE"}]}}}}`

func warned(t *testing.T) {
	_, stderr, code := kubectl(t, strings.Replace(sampleDeployment, "IMAGE", "web:latest", 1), "apply", "-n", optedIn(t), "-f", "-")
	if code != 0 || !strings.Contains(stderr, `Warning: its pods will be denied: V/mutable-tag spec.template.spec.containers[name="web"].image: `) {
		t.Errorf("kubectl ends with %d and says:\n%s", code, stderr)
	}
}

func ephemeral(t *testing.T) {
	p := pod(optedIn(t), "app:1")
	create(t, p)
	add := func(image string) error {
		changed := p.DeepCopy()
		changed.Spec.EphemeralContainers = append(changed.Spec.EphemeralContainers, corev1.EphemeralContainer{
			EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug-" + strings.Split(image, ":")[1], Image: image, TerminationMessagePolicy: "File", ImagePullPolicy: "Always"}})
		return admin.SubResource("ephemeralcontainers").Update(t.Context(), changed)
	}
	if err := add("busybox:latest"); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `spec.ephemeralContainers[name="debug-latest"].image`) {
		t.Errorf("error %v", err)
	}
	if err := add("busybox:1"); err != nil {
		t.Error(err)
	}
}

func dryRun(t *testing.T) {
	ns := optedIn(t)
	p := pod(ns, "app:1")
	p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "DB", Value: reference}}
	if err := admin.Create(t.Context(), p, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	checkResolved(t, p, 0)
	if err := admin.Create(t.Context(), pod(ns, "app:latest"), client.DryRunAll); !apierrors.IsInvalid(err) {
		t.Errorf("error %v", err)
	}
}

// everything has one pod with all that the mutators edit: each operation must apply on a real API server.
func everything(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	p := pod(optedIn(t), "registry.test/redis:7.4.1")
	p.Annotations = map[string]string{"env.twelvefold.dev/TOKEN": "@Microsoft.KeyVault(VaultName=shop;SecretName=token)",
		"file.twelvefold.dev/tls.pem": "@Microsoft.KeyVault(VaultName=shop;SecretName=tls)", "twelvefold.dev/log-files": "app:/var/log/app/app.log"}
	p.Spec.RestartPolicy = corev1.RestartPolicyNever
	p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	p.Spec.InitContainers = []corev1.Container{
		{Name: "migrate", Image: "migrate:1", Env: []corev1.EnvVar{{Name: "DB", Value: "db=${" + reference + "}"}}},
		{Name: "proxy", Image: "proxy:1", RestartPolicy: &always, VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}},
	}
	p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "DB", Value: "first"}, {Name: "DB", Value: reference}, {Name: "LATER", Value: "$(DB)"}}
	p.Spec.InitContainers[1].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}}
	for i := range 98 {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: fmt.Sprintf("app-%d", i), Image: "app:1"})
	}
	create(t, p)
	checkResolved(t, p, 0)
	var names []string
	for _, c := range p.Spec.InitContainers {
		names = append(names, c.Name)
	}
	want := []string{"twelvefold-fetch", "twelvefold-tail", "migrate", "proxy", "twelvefold-redis-exporter"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("init containers (-want +got):\n%s", diff)
	}
	// What the API server gave back holds its defaults, and is mutated again as another webhook's call would have it.
	again := p.DeepCopy()
	again.Name, again.ResourceVersion, again.UID = "again", "", ""
	create(t, again)
	if diff := cmp.Diff(p.Spec, again.Spec); diff != "" {
		t.Errorf("the second time (-first +second):\n%s", diff)
	}
	if diff := cmp.Diff(p.Annotations, again.Annotations); diff != "" {
		t.Errorf("the second time (-first +second):\n%s", diff)
	}
}

// observed looks at what a number of requests leave behind.
func observed(t *testing.T, p *process) {
	ns := optedIn(t)
	create(t, pod(ns, "app:1")) // the caches know the namespace from now on
	before := len(p.log.String())
	for range 20 {
		create(t, pod(ns, "app:1"))
		if err := admin.Create(t.Context(), pod(ns, "app:latest")); !apierrors.IsInvalid(err) {
			t.Errorf("error %v", err)
		}
	}
	// What works in the background may log meanwhile.
	if logged := p.log.String()[before:]; strings.Contains(logged, ns) || strings.Count(logged, "\n") >= 20 {
		t.Errorf("40 requests wrote:\n%s", logged)
	}
	text := p.get(t, "http://"+p.scrape+"/metrics")
	for _, want := range []string{
		`twelvefold_decisions_total{decision="mutated",webhook="mutate"} `,
		`twelvefold_decisions_total{decision="denied",webhook="validate"} `,
		`twelvefold_findings_total{level="deny",rule="mutable-tag",webhook="validate"} `,
		`twelvefold_request_duration_seconds_bucket{webhook="mutate",le="0.005"} `,
		`twelvefold_policy_valid{hash="`,
		`twelvefold_certificate_expiry_timestamp_seconds 1.`,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no metric %s", want)
		}
	}
}
