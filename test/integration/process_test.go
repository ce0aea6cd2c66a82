package integration

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/cert"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/test/freeport"
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
func start(t *testing.T, binary string, port int, flags ...string) *process {
	t.Helper()
	p := &process{log: &syncBuffer{}, done: make(chan error, 1),
		health: fmt.Sprintf("127.0.0.1:%d", freeport.Find(t)), scrape: fmt.Sprintf("127.0.0.1:%d", freeport.Find(t))}
	p.cmd = exec.Command(binary, append(flags, "--namespace", release, "--agent-image", "twelvefold-agent:v0", "--bind-address", "127.0.0.1",
		"--port", strconv.Itoa(port), "--health-bind-address", p.health, "--metrics-bind-address", p.scrape,
		"--drain-delay", "1s")...)
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
