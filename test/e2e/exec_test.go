//go:build e2e

package e2e

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// With delivery exec a container has what no env file carries; its probe sees it too, its process is its own, and its
// signals and exit code are as if nothing stood in between.
func TestExec(t *testing.T) {
	p := optedIn(t, "exec")
	secret := "e2e" + rand.Text() + "'\r\n\"$HOME\" \t'"
	p.setSecret(shopVault, "exec-quoted", secret)
	p.applyManifest("exec.yaml")
	pod := p.running("exec")

	want := fmt.Sprintf("%x", sha256.Sum256([]byte("postgres://shop:"+secret+"@db")))
	text, err := p.logs(t.Context(), pod, "exec")
	if err != nil {
		t.Fatal(err)
	}
	mustHaveAll(t, "the log", text, want, "pid 1\n")
	if argv := p.output(pod, "cat", "/proc/1/cmdline"); strings.Contains(argv, "twelvefold") || strings.Contains(argv, secret[:10]) {
		t.Errorf("the application runs as %q", argv)
	}

	watch, err := p.kube.CoreV1().Pods(p.name).Watch(t.Context(), metav1.SingleObject(pod.ObjectMeta))
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	if err := p.kube.CoreV1().Pods(p.name).Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	code := int32(-1)
	for deadline := time.After(patience); code < 0; {
		select {
		case event, open := <-watch.ResultChan():
			if !open {
				t.Fatal("the watch ended before the container")
			}
			if changed, ok := event.Object.(*corev1.Pod); ok && len(changed.Status.ContainerStatuses) > 0 {
				if ended := changed.Status.ContainerStatuses[0].State.Terminated; ended != nil {
					code = ended.ExitCode
				}
			}
		case <-deadline:
			t.Fatal("the container did not end")
		}
	}
	if code != 7 {
		t.Errorf("the container ended with %d at SIGTERM, want 7", code)
	}
	notLeaked(t, p, []string{secret[:len("e2e")+26]})
}
