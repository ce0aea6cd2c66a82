package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"twelvefold.dev/certs"
)

// An issuerLog is a listener's certificate source that remembers which CAs clients have accepted.
type issuerLog struct {
	certs.Source
	mu    sync.Mutex
	names []string // in the order of their first use
}

// config is for a server that logs every finished handshake.
func (l *issuerLog) config() *tls.Config {
	return &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		cert, err := l.GetCertificate(hello)
		if err != nil {
			return nil, err
		}
		return &tls.Config{Certificates: []tls.Certificate{*cert}, VerifyConnection: func(tls.ConnectionState) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			if name := cert.Leaf.Issuer.CommonName; !slices.Contains(l.names, name) {
				l.names = append(l.names, name)
			}
			return nil
		}}, nil
	}}
}

func (l *issuerLog) used() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.names)
}

// TestCertificateRotation creates pods all the time while CAs and certificates, which live for seconds here, are replaced. The API
// server verifies each connection, and refuses the pod if it cannot: failurePolicy is Fail. Two replicas take turns.
func TestCertificateRotation(t *testing.T) {
	t.Parallel()
	name := unique("rotation")
	ns := namespace(t, map[string]string{"rotation": name})

	// The source may do what its documentation says, and no more.
	account := permit(t, name, ns)
	var log syncBuffer
	options := certs.Options{
		Namespace: ns, Service: name, Secret: name, Configuration: name,
		// The API server has to hear of a CA while it settles, and a busy machine has the last third of a certificate's life to renew it.
		CALifetime: 78 * time.Second, LeafLifetime: 20 * time.Second, Settle: 5 * time.Second,
		Poll: 500 * time.Millisecond,
		Log:  slog.New(slog.NewTextHandler(&log, nil)),
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := int32(listener.Addr().(*net.TCPAddr).Port)

	// An ExternalName makes the API server connect to this process, and still ask for the Service's name.
	create(t,
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}})
	hooks := configurations(name, admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: ns, Name: name, Port: &port}})
	for _, o := range hooks {
		create(t, o)
		deleteAfter(t, o)
	}

	replicas := []*issuerLog{startSource(t, account, options), startSource(t, account, options)}
	serve(t, listener, replicas)
	until(t, "both replicas are ready", func() bool {
		return replicas[0].Ready(nil) == nil && replicas[1].Ready(nil) == nil
	})
	// The API server learns of the webhooks and of a caBundle a moment after we do: the only time that a request may fail.
	until(t, "the first pod is admitted by us", func() bool {
		return createPod(t, ns) == nil && len(replicas[0].used())+len(replicas[1].used()) > 0
	})

	deadline := time.Now().Add(6 * time.Minute)
	pace := time.NewTicker(10 * time.Millisecond) // leaves something of the machine to other tests
	defer pace.Stop()
	pods := 0
	for len(replicas[0].used()) < 3 || len(replicas[1].used()) < 3 {
		if err := createPod(t, ns); err != nil {
			t.Fatalf("pod %d: %v\nlog:\n%s", pods, err, log.String())
		}
		pods++
		<-pace.C
		if time.Now().After(deadline) {
			t.Fatalf("after %d pods, only %v and %v have signed; log:\n%s", pods, replicas[0].used(), replicas[1].used(), log.String())
		}
	}
	t.Logf("%d pods, CAs %v", pods, replicas[0].used())
	if a, b := replicas[0].used(), replicas[1].used(); !slices.Equal(a[:3], b[:3]) {
		t.Errorf("the replicas served with different CAs: %v and %v", a, b)
	}
	checkSecretStaysSecret(t, client.ObjectKey{Namespace: ns, Name: name}, log.String())

	// What others wrote into the configuration is still there.
	for _, o := range hooks {
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatal(err)
		}
		if got := o.GetAnnotations()["owner"]; got != "somebody" {
			t.Errorf("%T lost an annotation: %v", o, o.GetAnnotations())
		}
	}
	if got := hooks[1].(*admissionv1.ValidatingWebhookConfiguration).Webhooks[0].MatchConditions; len(got) != 1 {
		t.Errorf("match conditions = %v", got)
	}
}

// configurations are a mutating and a validating one, both for the pods of namespaces labelled with the name.
func configurations(name string, to admissionv1.WebhookClientConfig) []client.Object {
	meta := metav1.ObjectMeta{Name: name, Annotations: map[string]string{"owner": "somebody"}}
	pods := []admissionv1.RuleWithOperations{{
		Operations: []admissionv1.OperationType{admissionv1.Create},
		Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
	}}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"rotation": name}}
	fail, none := admissionv1.Fail, admissionv1.SideEffectClassNone
	return []client.Object{
		&admissionv1.MutatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionv1.MutatingWebhook{{
			Name: "mutate.rotation.test", ClientConfig: to, Rules: pods, NamespaceSelector: selector,
			FailurePolicy: &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
		}}},
		&admissionv1.ValidatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "validate.rotation.test", ClientConfig: to, Rules: pods, NamespaceSelector: selector,
			FailurePolicy: &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			MatchConditions: []admissionv1.MatchCondition{{Name: "always", Expression: "true"}},
		}}},
	}
}

// permit gives an account the rights that certs.NewSelfManaged asks for, and returns a client that acts as it.
func permit(t *testing.T, name, ns string) client.WithWatch {
	t.Helper()
	account := rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}
	create(t,
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{name}, Verbs: []string{"get", "update", "watch"},
		}}},
		&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Subjects: []rbacv1.Subject{account},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{{
			APIGroups:     []string{admissionv1.GroupName},
			Resources:     []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"},
			ResourceNames: []string{name}, Verbs: []string{"get", "patch", "watch"},
		}}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: []rbacv1.Subject{account},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}})
	as := rest.CopyConfig(config)
	as.Impersonate = rest.ImpersonationConfig{UserName: name}
	c, err := client.NewWithWatch(as, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func startSource(t *testing.T, c client.WithWatch, o certs.Options) *issuerLog {
	t.Helper()
	source, err := certs.NewSelfManaged(c, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error)
	go func() { done <- source.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &issuerLog{Source: source}
}

// serve admits everything, on one listener whose connections the replicas take in turn. Each request has a connection of its own.
func serve(t *testing.T, listener net.Listener, replicas []*issuerLog) {
	var turn int
	var mu sync.Mutex
	config := &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		mu.Lock()
		defer mu.Unlock()
		turn++
		return replicas[turn%len(replicas)].config().GetConfigForClient(hello)
	}}
	server := &http.Server{
		TLSConfig: config,
		Handler: &admission.Webhook{Handler: admission.HandlerFunc(func(context.Context, admission.Request) admission.Response {
			return admission.Allowed("")
		})},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	server.SetKeepAlivesEnabled(false)
	go server.Serve(tls.NewListener(listener, config))
	t.Cleanup(func() { server.Close() })
}

func createPod(t *testing.T, ns string) error {
	return admin.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, GenerateName: "app-"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "registry.example/app:1"}}},
	})
}

// checkSecretStaysSecret fails if a line of a key is in the text.
func checkSecretStaysSecret(t *testing.T, key client.ObjectKey, text string) {
	t.Helper()
	var secret corev1.Secret
	if err := admin.Get(t.Context(), key, &secret); err != nil {
		t.Fatal(err)
	}
	if _, ok := secret.Data["ca.key"]; !ok {
		t.Errorf("the Secret has no ca.key, only %v", slices.Sorted(maps.Keys(secret.Data)))
	}
	for name, value := range secret.Data {
		if !strings.HasSuffix(name, ".key") {
			continue
		}
		for line := range strings.Lines(string(value)) {
			if strings.Contains(text, strings.TrimSpace(line)) {
				t.Errorf("%s is in the log", name)
			}
		}
	}
}

// until waits for a condition that comes by itself.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited a minute until %s", what)
		}
	}
}

// A syncBuffer is a buffer that several may write to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
