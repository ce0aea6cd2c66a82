//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What an application writes into a file is in its pod's log: every line, over a rotation, too.
func TestLogs(t *testing.T) {
	p := optedIn(t, "logs")
	p.applyManifest("logfile.yaml")
	pod := p.running("logfile")
	var text string
	p.eventually(func(ctx context.Context) (err error) {
		if text, err = p.logs(ctx, pod, "twelvefold-tail"); err == nil && !strings.Contains(text, "line 3000.") {
			err = fmt.Errorf("no line 3000 yet; the log ends with\n%s", tail(text, 3))
		}
		return err
	})
	mustHaveLines(t, text, 3000)
}

// Where the policy repairs, logs are on stdout whatever sent them elsewhere: by an option, a link, a script without its
// redirection, or the sidecar.
func TestLogsAreRepaired(t *testing.T) {
	p := optedIn(t, "repair")
	p.applyManifest("logs-repair.yaml")
	for _, tc := range []struct {
		app, container, how, want string
	}{
		{"nginx", "nginx", "is a link to /dev/stdout", "GET /probed HTTP/1.1"},
		{"gunicorn", "gunicorn", "its option is rewritten", "GET /probed HTTP/1.1"},
		{"postgres", "postgres", "its option is rewritten", "database system is ready to accept connections"},
		{"java", "twelvefold-tail", "is streamed by twelvefold-tail", "line 300."},
		{"script", "script", "the redirection is left out", "line 300."},
	} {
		t.Run(tc.app, func(t *testing.T) {
			var pod corev1.Pod
			var text string
			p.eventually(func(ctx context.Context) error {
				pods, err := p.pods(ctx, p.name, "app="+tc.app)
				if err != nil || len(pods) == 0 {
					return errors.Join(errors.New("no pod yet"), err)
				}
				pod = pods[len(pods)-1]
				if text, err = p.logs(ctx, pod, tc.container); err == nil && !strings.Contains(text, tc.want) {
					err = fmt.Errorf("the log of %s lacks %q", tc.container, tc.want)
				}
				return err
			})
			mustHaveAll(t, "the status", pod.Annotations["twelvefold.dev/status"], tc.how)
			if strings.HasPrefix(tc.want, "line ") {
				mustHaveLines(t, text, 300)
			}
		})
	}
	p.eventually(func(ctx context.Context) error { return p.complete(ctx, "script") })
}

// complete fails while a Job is not.
func (p place) complete(ctx context.Context, job string) error {
	j, err := p.kube.BatchV1().Jobs(p.name).Get(ctx, job, metav1.GetOptions{})
	if err == nil && j.Status.Succeeded != 1 {
		err = fmt.Errorf("the Job %s is not complete: %+v", job, j.Status)
	}
	return err
}

// Sidecars don't keep a Job from ending, and its end doesn't cost a line.
func TestJob(t *testing.T) {
	p := optedIn(t, "job")
	p.setSecret("shop.vault.azure.net", "job", "some value")
	p.applyManifest("job.yaml")
	p.eventually(func(ctx context.Context) error { return p.complete(ctx, "job") })
	pods, err := p.pods(t.Context(), p.name, "app=job")
	if err != nil || len(pods) != 1 {
		t.Fatalf("%d pods, want 1: %v", len(pods), err)
	}
	for _, want := range []string{"twelvefold-fetch", "twelvefold-tail", "twelvefold-redis-exporter"} {
		if !slices.Contains(containers(pods[0]), want) {
			t.Errorf("containers %v, want %s among them", containers(pods[0]), want)
		}
	}
	text, err := p.logs(t.Context(), pods[0], "twelvefold-tail")
	if err != nil {
		t.Fatal(err)
	}
	mustHaveLines(t, text, 500)
}

// mustHaveLines fails the test where one of "line 1." to "line n." is missing.
func mustHaveLines(t *testing.T, text string, n int) {
	t.Helper()
	var missing []int
	for i := 1; i <= n; i++ {
		if !strings.Contains(text, fmt.Sprintf("line %d.", i)) {
			missing = append(missing, i)
		}
	}
	if len(missing) > 0 {
		t.Errorf("%d of %d lines are missing, the first of them line %d", len(missing), n, missing[0])
	}
}
