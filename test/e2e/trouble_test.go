//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A secret that is missing keeps the pod from starting; describe tells which one and what to do; once it is there, the
// pod starts by itself. A vault that throttles or breaks only costs time.
func TestTrouble(t *testing.T) {
	p := optedIn(t, "trouble")
	value := "e2e" + rand.Text()
	p.tell(http.MethodDelete, "vaults/"+shopVault+"/secrets/trouble", nil) // of an earlier run in the same cluster
	t.Cleanup(func() { p.tell(http.MethodDelete, "faults/"+shopVault, nil) })
	p.applyManifest("trouble.yaml")
	var message string
	p.eventually(func(ctx context.Context) error {
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
		return errors.New("no fetch has ended with 12 yet")
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
