//go:build e2e

package e2e

import (
	"context"
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
	for deadline := time.After(time.Minute); code < 0; {
		select {
		case event := <-watch.ResultChan():
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

// A secret that is missing keeps the pod from starting; describe tells which one and what to do; once it is there, the
// pod starts by itself. A vault that throttles or breaks only costs time.
func TestTrouble(t *testing.T) {
	p := optedIn(t, "trouble")
	value := "e2e" + rand.Text()
	p.applyManifest("trouble.yaml")
	var message string
	p.eventually(time.Minute, func(ctx context.Context) error {
		pods, err := p.pods(ctx, p.name, "app=trouble")
		if err != nil {
			return err
		}
		for _, pod := range pods {
			for _, s := range pod.Status.InitContainerStatuses {
				for _, ended := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
					if ended != nil && ended.ExitCode == 12 {
						message = ended.Message
						return nil
					}
				}
			}
		}
		return fmt.Errorf("no fetch has ended with 12 yet")
	})
	mustHaveAll(t, "the termination message", message, "secret trouble in vault "+shopVault, "it does not exist", "optional")

	p.put("faults/"+shopVault, map[string]any{"status": 429, "retryAfter": time.Second, "times": 1})
	p.put("faults/"+shopVault, map[string]any{"status": 503, "times": 1})
	p.put("faults/"+shopVault, map[string]any{"down": true, "times": 1})
	p.setSecret(shopVault, "trouble", value)
	pod := p.running("trouble")
	if got := strings.TrimSuffix(p.output(pod, "printenv", "SECRET"), "\n"); got != value {
		t.Errorf("SECRET is %q, want %q", got, value)
	}
	notLeaked(t, p, []string{value})
}
