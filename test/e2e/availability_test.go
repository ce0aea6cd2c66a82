//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// While pods are made all the time, one webhook pod is deleted and then all are replaced: nobody is refused, and no pod
// slips through without Twelvefold.
func TestNoPodFailsWhileTheWebhookRestarts(t *testing.T) {
	p := optedIn(t, "stream")
	const least = 500
	restarted := make(chan struct{})
	var stream sync.WaitGroup
	stream.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond) // spreads the pods over the restart, which takes about a minute
		defer tick.Stop()
		for n, done := 0, false; n < least || !done; n++ {
			p.createPending(n)
			select {
			case <-t.Context().Done():
				return
			case <-restarted:
				done = true
			default:
			}
			<-tick.C
		}
	})

	err := p.restartWebhook(t.Context())
	close(restarted)
	stream.Wait()
	if err != nil {
		t.Error(err)
	}
	pods, err := p.pods(t.Context(), p.name, "")
	if err != nil {
		t.Fatal(err)
	}
	var missed int
	for _, pod := range pods {
		if pod.Annotations["twelvefold.dev/status"] == "" {
			missed++
		}
	}
	if missed > 0 || len(pods) < least {
		t.Errorf("%d of %d pods were not seen by the webhook; want 0 of %d or more", missed, len(pods), least)
	}
	t.Logf("%d pods", len(pods))
}

// createPending creates a pod that no scheduler looks after: it costs no node anything.
func (p place) createPending(n int) {
	yes, no := true, false
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("pod-%d", n), Annotations: map[string]string{"prometheus.io/scrape": "false"}},
		Spec: corev1.PodSpec{
			SchedulerName:   "none",
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Containers: []corev1.Container{{
				Name: "app", Image: applications + "/redis:" + tag,
				SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			}},
		},
	}
	start := time.Now()
	if _, err := p.kube.CoreV1().Pods(p.name).Create(p.t.Context(), pod, metav1.CreateOptions{}); err != nil {
		p.t.Errorf("pod %d, after %v: %v", n, time.Since(start).Round(time.Millisecond), err)
	}
}

// restartWebhook deletes one pod, waits for its replacement, and then replaces all as `kubectl rollout restart` does.
func (p place) restartWebhook(ctx context.Context) error {
	pods, err := p.pods(ctx, webhookPlace, "app.kubernetes.io/name="+webhookName)
	if err != nil {
		return err
	}
	victim := pods[0]
	if err := p.kube.CoreV1().Pods(webhookPlace).Delete(ctx, victim.Name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	err = eventually(ctx, func(ctx context.Context) error {
		pods, err := p.pods(ctx, webhookPlace, "app.kubernetes.io/name="+webhookName)
		for _, pod := range pods {
			if pod.UID == victim.UID {
				err = fmt.Errorf("pod %s is still there", pod.Name)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := p.rolledOut(ctx, webhookPlace, webhookName); err != nil {
		return err
	}
	patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, time.Now().Format(time.RFC3339))
	if _, err := p.kube.AppsV1().Deployments(webhookPlace).Patch(ctx, webhookName, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		return err
	}
	return p.rolledOut(ctx, webhookPlace, webhookName)
}
