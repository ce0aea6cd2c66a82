package integration

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"twelvefold.dev/internal/manifest"
)

// release is the namespace that the rendered chart is in.
const release = "tf-system"

// chart installs the chart's objects as they are rendered by default, but for those that need nodes; the Service leads
// to this machine.
func chart(t *testing.T, port int) {
	t.Helper()
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: release}})
	rendered, err := os.ReadFile("../../charts/testdata/default.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := manifest.Read(bytes.NewReader(rendered), "default.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		object := &unstructured.Unstructured{}
		if err := json.Unmarshal(o.JSON, &object.Object); err != nil {
			t.Fatal(err)
		}
		switch o.Kind {
		case "Deployment":
			continue
		case "Service":
			object.Object["spec"] = map[string]any{"type": "ExternalName", "externalName": "localhost"}
		case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
			hooks := object.Object["webhooks"].([]any)
			for _, hook := range hooks {
				service := hook.(map[string]any)["clientConfig"].(map[string]any)["service"].(map[string]any)
				service["port"] = int64(port)
			}
			deleteAfter(t, object)
		}
		create(t, object)
	}
}

// process is a running cmd/webhook.
type process struct {
	cmd    *exec.Cmd
	log    *syncBuffer
	health string
	scrape string
	done   chan error
}

// start runs the webhook's binary with the rights of the chart's service account and no others.
func start(t *testing.T, binary string, port int) *process {
	t.Helper()
	p := &process{log: &syncBuffer{}, done: make(chan error, 1),
		health: fmt.Sprintf("127.0.0.1:%d", freePort(t)), scrape: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	p.cmd = exec.Command(binary, "--namespace", release, "--agent-image", "twelvefold-agent:v0", "--bind-address", "127.0.0.1",
		"--port", strconv.Itoa(port), "--health-bind-address", p.health, "--metrics-bind-address", p.scrape,
		"--drain-delay", "1s")
	p.cmd.Env = append(p.cmd.Environ(), "KUBECONFIG="+restricted(t))
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		if t.Failed() {
			t.Logf("the webhook's log:\n%s", p.log.String())
		}
	})
	until(t, "the webhook is ready", func() bool { return p.ready() == http.StatusOK })
	return p
}

func (p *process) ready() int {
	answer, err := http.Get("http://" + p.health + "/readyz")
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	return answer.StatusCode
}

// stop ends it as the kubelet does, and waits for its end.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until(t, "it is unready", func() bool { return p.ready() != http.StatusOK })
	if err := <-p.done; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// restricted is a kubeconfig that acts as the chart's service account.
func restricted(t *testing.T) string {
	t.Helper()
	loaded, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range loaded.AuthInfos {
		user.Impersonate = "system:serviceaccount:" + release + ":twelvefold-webhook"
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*loaded, file); err != nil {
		t.Fatal(err)
	}
	return file
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// TestWebhook runs the webhook's own binary behind a real API server: with the chart's configuration, rights and policy.
func TestWebhook(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "webhook")
	if out, err := exec.Command("go", "build", "-o", binary, "twelvefold.dev/cmd/webhook").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	port := freePort(t)
	chart(t, port)
	webhook := start(t, binary, port)

	shop := optedIn(t)
	until(t, "the API server trusts the webhook", func() bool {
		return admin.Create(t.Context(), pod(shop, "app:1"), client.DryRunAll) == nil
	})
	t.Run("a namespace without the label is untouched", untouched)
	t.Run("a reference becomes a fileKeyRef", mutated)
	t.Run("a denial shows every finding", denied)
	t.Run("a workload is warned about", warned)
	t.Run("ephemeral containers are judged", ephemeral)
	t.Run("a dry run is answered alike", dryRun)
	t.Run("another webhook may add to the pod", reinvoked)
	t.Run("every job does its part of a pod", everything)
	t.Run("requests are counted and not logged", func(t *testing.T) { observed(t, webhook) })
	t.Run("a policy takes effect without a restart", reloaded)
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

func warned(t *testing.T) {
	const deployment = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {selector: {matchLabels: {a: b}},
		template: {metadata: {labels: {a: b}}, spec: {containers: [{name: web, image: "web:latest"}]}}}}`
	_, stderr, code := kubectl(t, deployment, "apply", "-n", optedIn(t), "-f", "-")
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
	if logged := p.log.String()[before:]; logged != "" {
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

// reinvoked has a later webhook append a container that needs a secret, too.
func reinvoked(t *testing.T) {
	ns := optedIn(t)
	mesh := appendingWebhook(t)
	mesh.Webhooks[0].NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": ns}}
	create(t, mesh)
	deleteAfter(t, mesh)
	var p *corev1.Pod
	until(t, "the other webhook is called", func() bool {
		p = pod(ns, "app:1")
		p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "DB", Value: reference}}
		create(t, p)
		return len(p.Spec.Containers) == 2
	})
	checkResolved(t, p, 0)
	checkResolved(t, p, 1)
	if len(p.Spec.InitContainers) != 1 {
		t.Errorf("%d init containers; one fetches for both", len(p.Spec.InitContainers))
	}
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

var policyKey = client.ObjectKey{Namespace: release, Name: "twelvefold-policy"}

// setPolicy writes the policy's spec, with the label or without it.
func setPolicy(t *testing.T, spec string, labelled bool) error {
	t.Helper()
	var configMap corev1.ConfigMap
	if err := admin.Get(t.Context(), policyKey, &configMap); err != nil {
		t.Fatal(err)
	}
	configMap.Data["policy.yaml"] = "apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec: " + spec + "\n"
	delete(configMap.Labels, "twelvefold.dev/policy")
	if labelled {
		configMap.Labels["twelvefold.dev/policy"] = "true"
	}
	return admin.Update(t.Context(), &configMap)
}

func reloaded(t *testing.T) {
	ns := optedIn(t)
	if err := setPolicy(t, "{rules: {mutable-tag: {level: off}}}", true); err != nil {
		t.Fatal(err)
	}
	until(t, "latest is allowed", func() bool { return admin.Create(t.Context(), pod(ns, "app:latest")) == nil })
	if err := setPolicy(t, "{rules: {mutable-tag: {level: deny}}}", true); err != nil {
		t.Fatal(err)
	}
	until(t, "latest is denied", func() bool { return apierrors.IsInvalid(admin.Create(t.Context(), pod(ns, "app:latest"))) })
}

// badPolicy reaches the cluster behind the webhook's back: without the label, nobody asks the webhook.
func badPolicy(t *testing.T, webhook *process, restart func() *process) {
	if err := setPolicy(t, "{rules: {mutable-tga: {level: deny}}}", true); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `line 3: unknown rule "mutable-tga"`) {
		t.Errorf("kubectl apply of a bad policy: %v", err)
	}
	if err := setPolicy(t, "{factors: {V: off}, rules: {mutable-tag: {level: warn}, host-network: {level: warn}}}", false); err != nil {
		t.Fatal(err)
	}
	ns := optedIn(t)
	until(t, "the good policy is in force", func() bool { return admin.Create(t.Context(), pod(ns, "app:latest")) == nil })
	until(t, "the good policy is kept", func() bool {
		var kept corev1.ConfigMap
		err := admin.Get(t.Context(), client.ObjectKey{Namespace: release, Name: policyKey.Name + "-last-good"}, &kept)
		return err == nil && strings.Contains(kept.Data["policy.yaml"], "factors: {V: off}")
	})
	if err := setPolicy(t, "{rules: {mutable-tga: {level: deny}}}", false); err != nil {
		t.Fatal(err)
	}
	check := func(p *process) {
		t.Helper()
		until(t, "readiness tells of the bad policy", func() bool { return strings.Contains(p.readiness(t), `unknown rule "mutable-tga"`) })
		if p.ready() != http.StatusOK {
			t.Error("a bad policy makes the webhook unready")
		}
		if err := admin.Create(t.Context(), pod(ns, "app:latest")); err != nil {
			t.Errorf("the last good policy is not in force: %v", err)
		}
	}
	check(webhook)
	until(t, "an Event tells of it", func() bool {
		var events corev1.EventList
		if err := admin.List(t.Context(), &events, client.InNamespace(release)); err != nil {
			t.Fatal(err)
		}
		for _, e := range events.Items {
			if e.Reason == "PolicyInvalid" && e.InvolvedObject.Name == policyKey.Name && strings.Contains(e.Message, "mutable-tga") {
				return true
			}
		}
		return false
	})
	check(restart())
}

func (p *process) readiness(t *testing.T) string {
	t.Helper()
	return p.get(t, "http://"+p.health+"/readyz")
}

func (p *process) get(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// serveTLS answers admission reviews over TLS on loopback.
func serveTLS(t *testing.T, answer func(uid string, object []byte) string) (url string, ca []byte) {
	t.Helper()
	certificate, pair := selfSigned(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, TLSConfig: pair, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			Request struct {
				UID    string
				Object json.RawMessage
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":%s}`, answer(review.Request.UID, review.Request.Object))
	})}
	go server.ServeTLS(listener, "", "")
	t.Cleanup(func() { server.Close() })
	return "https://" + listener.Addr().String(), certificate
}

// selfSigned is a certificate for loopback.
func selfSigned(t *testing.T) (ca []byte, c *tls.Config) {
	t.Helper()
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, &tls.Config{Certificates: []tls.Certificate{pair}}
}
