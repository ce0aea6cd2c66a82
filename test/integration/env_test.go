// Package integration tests Twelvefold against a real kube-apiserver and etcd, without nodes or controllers: what is admitted stays
// as it was admitted. One control plane serves all tests; each makes namespaces of its own.
package integration

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	controlplane "sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"twelvefold.dev/test/envtest"
)

// The control plane, as TestMain started it.
var (
	config     *rest.Config // of a cluster admin
	admin      client.WithWatch
	kubectlBin string
	kubeconfig string // file
)

func TestMain(m *testing.M) {
	code, err := runWithControlPlane(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		code = 1
	}
	os.Exit(code)
}

func runWithControlPlane(m *testing.M) (code int, err error) {
	log.SetLogger(logr.Discard()) // or controller-runtime complains that nobody did
	assets, err := envtest.Assets(os.Stderr)
	if err != nil {
		return 0, err
	}
	env := &controlplane.Environment{BinaryAssetsDirectory: assets}
	env.ControlPlane.GetAPIServer().Configure().Append("feature-gates", "ContainerStopSignals=true") // KEP-4960: else stopSignal is dropped
	// Pods need no ServiceAccount object, as no controller makes one in new namespaces: that is this server's default.
	if config, err = env.Start(); err != nil {
		return 0, errors.Join(err, env.Stop())
	}
	defer func() { err = errors.Join(err, env.Stop()) }()

	if admin, err = client.NewWithWatch(config, client.Options{Scheme: scheme.Scheme}); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "twelvefold-integration-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	kubectlBin, kubeconfig = env.ControlPlane.KubectlPath, filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(kubeconfig, env.KubeConfig, 0o600); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// kubectl runs it as cluster admin with the text as its input.
func kubectl(t testing.TB, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), kubectlBin, args...)
	// A cache of its own: nothing of the user's, or of another server on the same port.
	cmd.Env = append(cmd.Environ(), "KUBECONFIG="+kubeconfig, "KUBECACHEDIR="+filepath.Join(filepath.Dir(kubeconfig), "cache"))
	var out, messages bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &messages
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Fatalf("kubectl %q: %v", args, err)
		}
	}
	return out.String(), messages.String(), cmd.ProcessState.ExitCode()
}

// unique is a name that no other test has, with the prefix: tests share the server's namespace and cluster-wide names.
func unique(prefix string) string {
	return prefix + "-" + strings.ToLower(rand.Text()[:8])
}

// namespace makes one with the labels and returns its name. It stays: nothing here could delete what it holds.
func namespace(t testing.TB, labels map[string]string) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: unique("test"), Labels: maps.Clone(labels)}}
	create(t, ns)
	return ns.Name
}

// create makes the objects, or ends the test.
func create(t testing.TB, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		if err := admin.Create(t.Context(), o); err != nil {
			t.Fatalf("create %T %s: %v", o, o.GetName(), err)
		}
	}
}

// deleteAfter deletes a cluster-wide object at the end of the test, where it would disturb others.
func deleteAfter(t testing.TB, o client.Object) {
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(admin.Delete(context.WithoutCancel(t.Context()), o)); err != nil {
			t.Errorf("delete %T %s: %v", o, o.GetName(), err)
		}
	})
}
