//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A new version of a secret reaches what runs: files are swapped, containers are restarted in their pod, or a workload
// is rolled out. The policy of these tests has an interval of ten seconds.
func TestRotation(t *testing.T) {
	p := optedIn(t, "rotation")
	var all []string
	fresh := func(name string) string {
		value := "e2e" + rand.Text()
		all = append(all, value)
		p.setSecret(shopVault, name, value)
		return value
	}
	old := map[string]string{}
	for _, way := range []string{"files", "restart", "rollout"} {
		old[way] = fresh("rotation-" + way)
	}
	p.applyManifest("rotation.yaml")
	pods := map[string]corev1.Pod{}
	for way := range old {
		pods[way] = p.running(way)
	}
	const printenv, cat = "printenv SECRET", "cat /var/run/secrets/keyvault/one"
	for way, command := range map[string]string{"files": cat, "restart": printenv, "rollout": printenv} {
		if got := strings.TrimSpace(p.output(pods[way], strings.Fields(command)...)); got != old[way] {
			t.Errorf("%s begins with %q, want %q", way, got, old[way])
		}
	}

	want := map[string]string{}
	for way := range old {
		want[way] = fresh("rotation-" + way)
	}
	sees := func(way, command string) func(context.Context) error {
		return func(ctx context.Context) error {
			running, err := p.pods(ctx, p.name, "app="+way)
			if err != nil {
				return err
			}
			pod := running[len(running)-1] // the newest
			got, err := p.exec(ctx, pod, way, strings.Fields(command)...)
			if err == nil && strings.TrimSpace(got) != want[way] {
				err = fmt.Errorf("%s has not got the new value yet", way)
			}
			pods[way] = pod
			return err
		}
	}
	changed := time.Now()
	before := map[string]string{"files": string(pods["files"].UID), "restart": string(pods["restart"].UID), "rollout": string(pods["rollout"].UID)}
	for _, way := range []struct{ name, command string }{{"files", cat}, {"restart", printenv}, {"rollout", printenv}} {
		p.eventually(sees(way.name, way.command))
		t.Logf("%s: within %v of the change", way.name, time.Since(changed).Round(time.Second))
	}

	for _, way := range []string{"files", "restart"} {
		if string(pods[way].UID) != before[way] {
			t.Errorf("%s: another pod has the new value", way)
		}
	}
	if string(pods["rollout"].UID) == before["rollout"] {
		t.Error("rollout: the old pod has the new value")
	}
	text, err := p.logs(t.Context(), pods["files"], "files")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "BROKEN") || !strings.Contains(text, "rounds") {
		t.Errorf("the reader of files says:\n%s", tail(text, 20))
	}
	if n := restarts(pods["files"]); n != 0 {
		t.Errorf("files: %d restarts", n)
	}
	if n := restarts(pods["restart"]); n != 1 {
		t.Errorf("restart: %d restarts of the application, want 1", n)
	}
	notLeaked(t, p, all)
}

// restarts of the main container.
func restarts(pod corev1.Pod) int32 { return pod.Status.ContainerStatuses[0].RestartCount }
