package admission_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"twelvefold.dev/internal/admission"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
)

// fakeCluster knows nothing; a pod of the namespace "panic" meets a bug.
type fakeCluster struct{}

func (fakeCluster) NamespaceLabels(_ context.Context, name string) map[string]string {
	if name == "panic" {
		panic("a value that must not be logged")
	}
	if name == "misspelt" {
		return map[string]string{policy.ProfileLabel: "Strict"}
	}
	return nil
}

func (fakeCluster) ServiceAccount(_ context.Context, namespace, _ string) (map[string]string, error) {
	if namespace == "busy" {
		return nil, context.DeadlineExceeded
	}
	return nil, nil
}

func (fakeCluster) Object(context.Context, string, string, string) []byte { return nil }

func (fakeCluster) Monitored(string, *corev1.Pod) string { return "" }

func (fakeCluster) Defaults(context.Context, string) (policy.Defaults, bool) {
	return policy.Defaults{}, true
}

func (fakeCluster) Kubernetes() policy.Kubernetes { return policy.Kubernetes{APIServer: 37} }

type server struct {
	mux      *http.ServeMux
	registry *prometheus.Registry
	log      bytes.Buffer
}

func (s *server) Register(path string, h http.Handler) { s.mux.Handle(path, h) }

func newServer(t testing.TB, document string) *server {
	t.Helper()
	inForce := policy.Default(rules.Catalogue{})
	if document != "" {
		var err error
		if inForce, err = policy.Parse([]byte(document), rules.Catalogue{}); err != nil {
			t.Fatal(err)
		}
	}
	s := &server{mux: http.NewServeMux(), registry: prometheus.NewRegistry()}
	w := &admission.Webhooks{Cluster: fakeCluster{}, Policy: func() *policy.Policy { return inForce }, AgentImage: "agent:v0",
		Log: slog.New(slog.NewTextHandler(&s.log, nil)), Metrics: admission.NewMetrics(s.registry),
		Now: func() time.Time { return time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC) }}
	w.Register(s)
	return s
}

func (s *server) post(path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return w
}

// ask sends an object as a new one; fields of the request can be given as JSON.
func (s *server) ask(t testing.TB, path, kind, object, fields string) *admissionv1.AdmissionResponse {
	t.Helper()
	group := ""
	if kind == "Deployment" || kind == "ReplicaSet" {
		group = "apps"
	}
	w := s.post(path, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1","operation":"CREATE","namespace":"shop",
		"kind":{"group":"`+group+`","version":"v1","kind":"`+kind+`"},"object":`+object+fields+`}}`)
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil {
		t.Fatal(err)
	}
	if review.APIVersion != "admission.k8s.io/v1" || review.Kind != "AdmissionReview" || review.Response == nil || review.Response.UID != "u1" {
		t.Fatalf("not an answer to the request: %s", w.Body)
	}
	return review.Response
}

func TestBadRequestsAreAnsweredByTheirStatus(t *testing.T) {
	s := newServer(t, "")
	for name, test := range map[string]struct {
		body string
		code int
		want string
	}{
		"empty":        {"", 400, "not an AdmissionReview"},
		"not JSON":     {"<xml>", 400, "not an AdmissionReview"},
		"truncated":    {`{"apiVersion":"admission.k8s.io/v1","kind":"Admi`, 400, "not an AdmissionReview"},
		"wrong kind":   {`{"apiVersion":"admission.k8s.io/v1","kind":"Pod"}`, 400, "want admission.k8s.io/v1 AdmissionReview"},
		"old version":  {`{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview"}`, 400, "want admission.k8s.io/v1"},
		"no request":   {`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, 400, "no request"},
		"no uid":       {`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{}}`, 400, "uid"},
		"wrong types":  {`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":[]}`, 400, "not an AdmissionReview"},
		"7 MiB and 1 ": {strings.Repeat(" ", admission.MaxBody+1), 413, "exceeds"},
	} {
		for _, path := range []string{"/mutate", "/validate", "/validate-policy"} {
			w := s.post(path, test.body)
			if w.Code != test.code || !strings.Contains(w.Body.String(), test.want) {
				t.Errorf("%s, %s: %d %q; want %d %q", name, path, w.Code, w.Body, test.code, test.want)
			}
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/mutate", strings.NewReader("{}"))
	r.Header.Set("Content-Type", "text/plain")
	w := httptest.NewRecorder()
	if s.mux.ServeHTTP(w, r); w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("text/plain: %d %s", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	if s.mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/mutate", nil)); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d %s", w.Code, w.Body)
	}
}

func TestAPanicFailsOneRequest(t *testing.T) {
	s := newServer(t, "")
	w := s.post("/mutate", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1","operation":"CREATE",
		"namespace":"panic","kind":{"version":"v1","kind":"Pod"},"object":{}}}`)
	if w.Code != http.StatusInternalServerError {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if log := s.log.String(); !strings.Contains(log, "panic") || strings.Contains(log, "must not be logged") {
		t.Errorf("the log: %s", log)
	}
	s.ask(t, "/mutate", "Pod", `{"metadata":{"name":"after"}}`, "")
}

const floating = `{"metadata":{"generateName":"web-"},"spec":{"containers":[{"name":"a","image":"nginx:latest"},{"name":"b","image":"nginx"}]}}`

func TestADenialSaysEverythingTwice(t *testing.T) {
	got := newServer(t, "").ask(t, "/validate", "Pod", floating, "")
	if got.Allowed || got.Result.Code != 422 || got.Result.Reason != metav1.StatusReasonInvalid || got.Result.Details.Kind != "Pod" || got.Result.Details.Name != "web-" {
		t.Fatalf("%+v", got.Result)
	}
	var fields []string
	for _, cause := range got.Result.Details.Causes {
		if strings.HasPrefix(cause.Message, "V/mutable-tag: ") {
			fields = append(fields, cause.Field)
		}
		if text := strings.TrimPrefix(cause.Message, "V/mutable-tag: "); !strings.Contains(got.Result.Message, text) {
			t.Errorf("the message lacks %q", text)
		}
	}
	want := []string{`spec.containers[name="a"].image`, `spec.containers[name="b"].image`}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("causes (-want +got):\n%s", diff)
	}
	if !strings.Contains(got.AuditAnnotations["deny"], "mutable-tag") {
		t.Errorf("audit annotations %v", got.AuditAnnotations)
	}
}

// Who debugs a pod is no controller, so that its Deployment is not known; its name is.
func TestWhatDebugAddsIsExemptByThePodsName(t *testing.T) {
	pod := func(ephemeral string) string {
		return `{"metadata":{"name":"web-5d8-x","labels":{"pod-template-hash":"5d8"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-5d8","uid":"u","controller":true}]},` +
			`"spec":{"containers":[{"name":"a","image":"a:1"}]` + ephemeral + `}}`
	}
	for workload, allowed := range map[string]bool{"Pod/web-*": true, "Deployment/web": false} {
		s := newServer(t, "apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec:\n  exemptions:\n"+
			"  - {rules: [mutable-tag], namespace: shop, workload: \""+workload+"\", container: debugger-*, reason: r, owner: o, expires: 2027-01-01}\n")
		got := s.ask(t, "/validate", "Pod", pod(`,"ephemeralContainers":[{"name":"debugger-x","image":"busybox"}]`),
			`,"operation":"UPDATE","subResource":"ephemeralcontainers","userInfo":{"username":"kim"},"oldObject":`+pod(""))
		if got.Allowed != allowed {
			t.Errorf("exempt by %s: allowed is %t: %+v", workload, got.Allowed, got.Result)
		}
	}
}

// A namespace's label is judged by nobody: who misspells it would believe that it holds.
func TestAMisspeltProfileIsToldAbout(t *testing.T) {
	s := newServer(t, "")
	want := `the namespace's label has no effect: twelvefold.dev/profile: unknown profile "Strict"; one of off, audit, baseline, strict`
	if got := s.ask(t, "/validate", "Deployment", deployment, `,"namespace":"misspelt"`); !containsLine(got.Warnings, want) {
		t.Errorf("warnings %q", got.Warnings)
	}
	if got := s.ask(t, "/validate", "Deployment", deployment, ""); containsLine(got.Warnings, "the namespace's label") {
		t.Errorf("warnings %q", got.Warnings)
	}
}

const deployment = `{"metadata":{"name":"web"},"spec":{"template":` + floating + `}}`

func TestAWorkloadIsWarnedAboutAndItsPodsAreDenied(t *testing.T) {
	got := newServer(t, "").ask(t, "/validate", "Deployment", deployment, "")
	if !got.Allowed || !containsLine(got.Warnings, `its pods will be denied: V/mutable-tag spec.template.spec.containers[name="a"].image: `) {
		t.Errorf("allowed %v, warnings %q", got.Allowed, got.Warnings)
	}
	got = newServer(t, "apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec: {templates: deny}\n").ask(t, "/validate", "Deployment", deployment, "")
	if got.Allowed || got.Result.Details.Kind != "Deployment" || got.Result.Details.Group != "apps" {
		t.Errorf("the policy denies workloads, and this one is allowed: %+v", got)
	}
}

func containsLine(lines []string, prefix string) bool {
	for _, line := range lines {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

func TestWhatIsNotJudged(t *testing.T) {
	s := newServer(t, "")
	replicaSet := strings.Replace(deployment, `"name":"web"`, `"name":"web","ownerReferences":[{"kind":"Deployment","name":"web","controller":true}]`, 1)
	deleting := strings.Replace(deployment, `"name":"web"`, `"name":"web","deletionTimestamp":"2026-01-01T00:00:00Z"`, 1)
	scaled := strings.Replace(deployment, `"spec":{`, `"spec":{"replicas":3,`, 1)
	labelled := strings.Replace(floating, `"metadata":{`, `"metadata":{"labels":{"a":"b"},`, 1)
	for name, got := range map[string]*admissionv1.AdmissionResponse{
		"a ReplicaSet of a Deployment":      s.ask(t, "/validate", "ReplicaSet", replicaSet, ""),
		"a workload that is being deleted":  s.ask(t, "/validate", "Deployment", deleting, ""),
		"scaling":                           s.ask(t, "/validate", "Deployment", scaled, `,"operation":"UPDATE","oldObject":`+deployment),
		"a label on a running pod":          s.ask(t, "/validate", "Pod", labelled, `,"operation":"UPDATE","oldObject":`+floating),
		"a deletion":                        s.ask(t, "/validate", "Pod", "null", `,"operation":"DELETE","oldObject":`+floating),
		"another kind, sent to /mutate":     s.ask(t, "/mutate", "Service", `{}`, ""),
		"an update, sent to /mutate":        s.ask(t, "/mutate", "Pod", floating, `,"operation":"UPDATE"`),
		"another kind, sent to /validate":   s.ask(t, "/validate", "Service", `{}`, ""),
		"no ConfigMap, to /validate-policy": s.ask(t, "/validate-policy", "Service", `{}`, ""),
	} {
		if !got.Allowed || len(got.Warnings)+len(got.Patch) > 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestReferencesInEphemeralContainersAreRefused(t *testing.T) {
	s := newServer(t, "")
	pod := func(value string) string {
		return `{"metadata":{"name":"a"},"spec":{"containers":[{"name":"a","image":"a:1"}],
			"ephemeralContainers":[{"name":"debug","image":"busybox:1","env":[{"name":"DB","value":"` + value + `"}]}]}}`
	}
	update := `,"subResource":"ephemeralcontainers","operation":"UPDATE","oldObject":{"metadata":{"name":"a"},"spec":{"containers":[{"name":"a","image":"a:1"}]}}`
	got := s.ask(t, "/validate", "Pod", pod("@Microsoft.KeyVault(VaultName=shop;SecretName=db-password)"), update)
	if got.Allowed || got.Result.Details.Causes[0].Field != `spec.ephemeralContainers[name="debug"].env[name="DB"].value` {
		t.Errorf("%+v", got)
	}
	if got := s.ask(t, "/validate", "Pod", pod("plain"), update); !got.Allowed {
		t.Errorf("%+v", got)
	}
}

func TestReferencesThatAreLeftAreRefused(t *testing.T) {
	s := newServer(t, "")
	late := `{"metadata":{"name":"late"},"spec":{"containers":[{"name":"a","image":"a:1","env":[{"name":"DB","value":"@Microsoft.KeyVault(VaultName=shop;SecretName=db)"}]}]}}`
	got := s.ask(t, "/validate", "Pod", late, "")
	if got.Allowed || got.Result.Details.Causes[0].Field != `spec.containers[name="a"].env[name="DB"].value` {
		t.Errorf("a pod that would start with a reference as its password is admitted: %+v", got)
	}
	changed := strings.Replace(late, "a:1", "a:2", 1)
	if got := s.ask(t, "/validate", "Pod", changed, `,"operation":"UPDATE","oldObject":`+late); !got.Allowed {
		t.Errorf("a pod from before cannot be changed: %+v", got.Result)
	}
}

func TestUnreadableObjectsAreDeniedWithTheReason(t *testing.T) {
	s := newServer(t, "")
	for pod, want := range map[string]string{ // in the words of the manifest, not of Go
		`{"spec":{"containers":[null]}}`:                                              "a container is null",
		`{"spec":{"containers":[{"name":"a","env":[{"name":"PORT","value":8080}]}]}}`: "unexpected number at spec.containers.env.value: put it in quotes",
		`{"spec":{"containers":[{"name":"a","args":[true]}]}}`:                        "unexpected bool at spec.containers.args: put it in quotes",
		`{"spec":{"containers":{"name":"a"}}}`:                                        "unexpected object at spec.containers",
		`[]`:                                                                          "unexpected array",
	} {
		for _, path := range []string{"/mutate", "/validate"} {
			if got := s.ask(t, path, "Pod", pod, ""); got.Allowed || !strings.HasSuffix(got.Result.Message, want) {
				t.Errorf("%s, %s: %+v; want %s", path, pod, got, want)
			}
		}
	}
}

func TestPolicyIsRefusedWithEveryMistake(t *testing.T) {
	s := newServer(t, "")
	configMap := func(document string) string {
		data, err := json.Marshal(map[string]any{"metadata": map[string]any{"name": "twelvefold-policy"}, "data": map[string]string{"policy.yaml": document}})
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	bad := "apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec:\n  rules:\n    mutable-tga: {level: deny}\n  exemptions:\n  - {rules: [mutable-tag]}\n"
	got := s.ask(t, "/validate-policy", "ConfigMap", configMap(bad), "")
	if got.Allowed || len(got.Result.Details.Causes) < 4 || !strings.Contains(got.Result.Message, "line 5: unknown rule \"mutable-tga\"") {
		t.Errorf("%+v", got.Result)
	}
	update := func(old string) string { return `,"operation":"UPDATE","oldObject":` + old }
	if got := s.ask(t, "/validate-policy", "ConfigMap", configMap(bad), update(configMap(bad))); !got.Allowed || len(got.Warnings) < 4 ||
		got.Warnings[0] != "the policy has no effect as it is:" || !containsLine(got.Warnings, "policy: line 5: unknown rule") {
		t.Errorf("a change beside a policy that was taken once: %+v", got)
	}
	if got := s.ask(t, "/validate-policy", "ConfigMap", configMap(bad), update(configMap("kind: Policy"))); got.Allowed {
		t.Error("a policy that becomes bad is allowed")
	}
	many := "kind: Policy\nspec:\n  rules:\n"
	for i := range 60 {
		many += fmt.Sprintf("    mutable-tga-%d: {level: deny}\n", i)
	}
	if got := s.ask(t, "/validate-policy", "ConfigMap", configMap(many), update(configMap(many))); !got.Allowed || len(got.Warnings) < 30 {
		t.Errorf("a policy with many mistakes that was taken once: %+v", got)
	}
	if got := s.ask(t, "/validate-policy", "ConfigMap", `{"data":{}}`, ""); got.Allowed {
		t.Error("a ConfigMap without a policy is allowed")
	}
	if got := s.ask(t, "/validate-policy", "ConfigMap", `{"metadata":{"deletionTimestamp":"2026-11-01T00:00:00Z"},"data":{}}`, `,"operation":"UPDATE"`); !got.Allowed {
		t.Error("a bad policy can't be deleted while it has a finalizer")
	}
	expired := "apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec:\n  exemptions:\n  - {rules: [mutable-tag], reason: r, owner: o, expires: 2026-10-31}\n"
	if got := s.ask(t, "/validate-policy", "ConfigMap", configMap(expired), ""); !got.Allowed || !containsLine(got.Warnings, "policy: spec.exemptions[0] of o expired on 2026-10-31") {
		t.Errorf("%+v", got)
	}
	failing := "apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec:\n  tests:\n  - name: nginx\n    pod: {spec: {containers: [{name: a, image: \"nginx:1.27\"}]}}\n    expect: {deny: [mutable-tag]}\n"
	if got := s.ask(t, "/validate-policy", "ConfigMap", configMap(failing), ""); got.Allowed || !strings.Contains(got.Result.Message, `test "nginx": mutable-tag should deny`) {
		t.Errorf("%+v", got)
	}
	custom := "apiVersion: twelvefold.dev/v1alpha1\nkind: Policy\nspec:\n  customRules:\n  - {id: a, factor: I, message: m, expression: objekt.spec}\n"
	if got := s.ask(t, "/validate-policy", "ConfigMap", configMap(custom), ""); got.Allowed || !strings.Contains(got.Result.Message, "line 5: spec.customRules[0].expression: undeclared reference to 'objekt'") {
		t.Errorf("%+v", got)
	}
	if got := s.ask(t, "/validate-policy", "ConfigMap", configMap(strings.Replace(custom, "objekt.spec", `has(object.spec)`, 1)), ""); !got.Allowed || len(got.Warnings) > 0 {
		t.Errorf("%+v", got)
	}
}

func TestWarningsFitTheAPIServer(t *testing.T) {
	var lines []string
	for range 100 {
		lines = append(lines, strings.Repeat("x", len(lines)+200))
	}
	got := admission.Warnings(append(lines, lines...))
	total := 0
	for _, line := range got {
		total += len(line)
	}
	if total > 4096 || len(got) < 10 || !strings.HasPrefix(got[len(got)-1], fmt.Sprintf("twelvefold: and %d more; ", len(lines)-(len(got)-1))) {
		t.Errorf("%d lines of %d characters, the last one %q", len(got), total, got[len(got)-1])
	}
}

func FuzzReview(f *testing.F) {
	f.Add("/mutate", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","operation":"CREATE","kind":{"version":"v1","kind":"Pod"},"object":`+floating+`}}`)
	f.Add("/validate", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","operation":"UPDATE","kind":{"group":"apps","version":"v1","kind":"Deployment"},"object":`+deployment+`,"oldObject":`+deployment+`}}`)
	f.Add("/validate-policy", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{"kind":"ConfigMap"},"object":{"data":{"policy.yaml":"a: b"}}}}`)
	f.Fuzz(func(t *testing.T, path, body string) {
		if path != "/mutate" && path != "/validate" && path != "/validate-policy" {
			return // there are no others
		}
		s := newServer(t, "")
		w := s.post(path, body)
		if w.Code == http.StatusOK {
			var review admissionv1.AdmissionReview
			if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil || review.Response == nil {
				t.Errorf("the answer is no AdmissionReview: %v %s", err, w.Body)
			}
		}
		if log := s.log.String(); strings.Contains(log, "panic") {
			t.Error(log)
		}
	})
}

// Nobody is told to annotate a service account that merely could not be read.
func TestAServiceAccountThatCouldNotBeRead(t *testing.T) {
	s := newServer(t, "")
	const pod = `{"metadata":{"name":"a"},"spec":{"serviceAccountName":"api","containers":[{"name":"a","image":"a:1","env":[
		{"name":"DB","value":"@Microsoft.KeyVault(VaultName=shop;SecretName=db)"}]}]}}`
	for namespace, want := range map[string]string{"busy": "could not be read", "shop": "does not say which identity"} {
		got := s.ask(t, "/mutate", "Pod", pod, `,"namespace":"`+namespace+`"`)
		if got.Allowed || !strings.Contains(got.Result.Message, want) || strings.Contains(got.Result.Message, "kubectl annotate") == (namespace == "busy") {
			t.Errorf("%s: %+v", namespace, got.Result)
		}
	}
}

// What an image starts is looked up once for a pod that needs it, within its request, and for no other.
func TestEntrypoint(t *testing.T) {
	const managed = `{"apiVersion":"twelvefold.dev/v1alpha1","kind":"Policy","spec":{"keyVault":{"identity":{"kind":"managed"}}}}`
	inForce, err := policy.Parse([]byte(managed), rules.Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{mux: http.NewServeMux(), registry: prometheus.NewRegistry()}
	var asked []string
	w := &admission.Webhooks{Cluster: fakeCluster{}, Policy: func() *policy.Policy { return inForce }, AgentImage: "agent:v0",
		Log: slog.New(slog.DiscardHandler), Metrics: admission.NewMetrics(s.registry), Now: time.Now,
		Entrypoint: func(ctx context.Context) func(string) ([]string, []string, error) {
			return func(image string) ([]string, []string, error) {
				asked = append(asked, image)
				return []string{"/app"}, nil, ctx.Err()
			}
		}}
	w.Register(s)
	pod := func(delivery string) string {
		return `{"metadata":{"name":"a","annotations":{"twelvefold.dev/delivery":"` + delivery + `"}},"spec":{"containers":[{"name":"a","image":"shop:1.4.2",
			"env":[{"name":"A","value":"@Microsoft.KeyVault(VaultName=shop;SecretName=a)"}]}]}}`
	}
	if r := s.ask(t, "/mutate", "Pod", pod("env"), ""); !r.Allowed || len(asked) > 0 {
		t.Errorf("env: %v, asked for %v", r.Result, asked)
	}
	if r := s.ask(t, "/mutate", "Pod", pod("exec"), ""); !r.Allowed || len(asked) != 1 || !strings.Contains(string(r.Patch), `"/app"`) {
		t.Errorf("exec: %v, asked for %v: %s", r.Result, asked, r.Patch)
	}
}
