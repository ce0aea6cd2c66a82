// Package bench compares the webhook's endpoints with a handler of controller-runtime that decodes the pod and allows
// it: what any webhook must spend. Both are asked in turn, over the same HTTPS/2 connection, so that the ratio holds on
// a noisy machine. It compares the agent's fetch with the bare SDK likewise.
package bench

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	cradmission "sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/yaml"

	"twelvefold.dev/internal/admission"
	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
)

// pod is what a Deployment of a shop looks like when the API server sends it: defaults, token volume, probes.
//
//go:embed testdata/pod.yaml
var pod []byte

type cluster struct{}

func (cluster) NamespaceLabels(context.Context, string) map[string]string { return nil }

func (cluster) ServiceAccount(context.Context, string, string) (map[string]string, error) {
	return map[string]string{"azure.workload.identity/client-id": "22222222-2222-4222-8222-222222222222",
		"azure.workload.identity/tenant-id": "11111111-1111-4111-8111-111111111111"}, nil
}

func (cluster) Object(context.Context, string, string, string) []byte { return nil }

func (cluster) Monitored(string, *corev1.Pod) string { return "" }
func (cluster) Defaults(context.Context, string) (policy.Defaults, bool) {
	return policy.Defaults{}, true
}

func (cluster) Kubernetes() policy.Kubernetes {
	return policy.Kubernetes{APIServer: 37, OldestKubelet: 37}
}

type mux struct{ *http.ServeMux }

func (m mux) Register(path string, h http.Handler) { m.Handle(path, h) }

// start serves our endpoints and /floor.
func start(b *testing.B) *httptest.Server {
	inForce := policy.Default(rules.Catalogue{})
	endpoints := mux{http.NewServeMux()}
	(&admission.Webhooks{Cluster: cluster{}, Policy: func() *policy.Policy { return inForce }, AgentImage: "twelvefold-agent:v0",
		Log: slog.New(slog.DiscardHandler), Metrics: admission.NewMetrics(prometheus.NewRegistry()), Now: time.Now}).Register(endpoints)
	decoder := cradmission.NewDecoder(scheme.Scheme)
	endpoints.Handle("/floor", &cradmission.Webhook{Handler: cradmission.HandlerFunc(func(_ context.Context, r cradmission.Request) cradmission.Response {
		if err := decoder.Decode(r, &corev1.Pod{}); err != nil {
			return cradmission.Errored(http.StatusBadRequest, err)
		}
		return cradmission.Allowed("")
	})})
	server := httptest.NewUnstartedServer(endpoints)
	server.EnableHTTP2 = true
	server.StartTLS()
	b.Cleanup(server.Close)
	return server
}

// request is the body for a pod: as its team wrote it, or as /mutate left it.
func request(b *testing.B, object []byte) []byte {
	review := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{UID: "705ab4f5-6393-11e8-b7cc-42010a800002", Operation: admissionv1.Create, Namespace: "shop",
			Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, Object: runtime.RawExtension{Raw: object}},
	}
	review.Request.UserInfo.Username = "system:serviceaccount:kube-system:replicaset-controller"
	body, err := json.Marshal(review)
	if err != nil {
		b.Fatal(err)
	}
	return body
}

func post(b *testing.B, server *httptest.Server, path string, body []byte) (time.Duration, admissionv1.AdmissionReview) {
	begin := time.Now()
	answer, err := server.Client().Post(server.URL+path, "application/json", bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	took := time.Since(begin)
	var review admissionv1.AdmissionReview
	if err == nil && answer.StatusCode == http.StatusOK {
		err = json.Unmarshal(text, &review)
	}
	if err != nil || answer.StatusCode != http.StatusOK || answer.ProtoMajor != 2 || !review.Response.Allowed {
		b.Fatalf("%s: %s %s %v: %s", path, answer.Proto, answer.Status, err, text)
	}
	return took, review
}

func BenchmarkMutate(b *testing.B) { compare(b, "/mutate") }

func BenchmarkValidate(b *testing.B) { compare(b, "/validate") }

func compare(b *testing.B, path string) {
	server := start(b)
	object, err := yaml.YAMLToJSON(pod)
	if err != nil {
		b.Fatal(err)
	}
	body := request(b, object)
	_, first := post(b, server, "/mutate", body)
	if len(first.Response.Patch) == 0 {
		b.Fatal("the pod of this benchmark gives the mutators nothing to do")
	}
	if path == "/validate" { // it sees pods after mutation
		mutated, err := podpatch.Apply(first.Response.Patch, object)
		if err != nil {
			b.Fatal(err)
		}
		body = request(b, mutated)
	}
	var ours, floor time.Duration
	for b.Loop() {
		took, _ := post(b, server, path, body)
		ours += took
		took, _ = post(b, server, "/floor", body)
		floor += took
	}
	b.ReportMetric(float64(ours.Microseconds())/float64(b.N), "µs/request")
	b.ReportMetric(float64(floor.Microseconds())/float64(b.N), "µs/floor")
	b.ReportMetric(float64(ours)/float64(floor), "ratio")
	b.ReportMetric(0, "ns/op") // the sum of both would mislead
}
