//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"
)

// A redis that knows nothing of metrics is found and scraped by a Prometheus that knows nothing of it.
func TestMetrics(t *testing.T) {
	p := optedIn(t, "metrics")
	p.applyManifest("redis.yaml")
	if err := p.applyFile(t.Context(), "monitoring", "prometheus.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := p.rolledOut(t.Context(), "monitoring", "prometheus", 2*time.Minute); err != nil {
		t.Fatal(err)
	}
	pod := p.running("redis")
	if !slices.Contains(containers(pod), "twelvefold-redis-exporter") {
		t.Fatalf("containers %v, want twelvefold-redis-exporter among them", containers(pod))
	}
	p.eventually(time.Minute, func(ctx context.Context) error {
		value, err := p.query(ctx, fmt.Sprintf("redis_up{namespace=%q,pod=%q}", p.name, pod.Name))
		if err == nil && value != "1" {
			err = fmt.Errorf("redis_up is %q, want 1", value)
		}
		return err
	})
	// One target, not one for every port or container.
	if value, err := p.query(t.Context(), fmt.Sprintf("count(up{namespace=%q})", p.name)); err != nil || value != "1" {
		t.Errorf("%s targets, want 1 (%v)", value, err)
	}
}

// query asks Prometheus for a single value; empty if there is none.
func (p place) query(ctx context.Context, expression string) (string, error) {
	raw, err := p.kube.CoreV1().Services("monitoring").ProxyGet("http", "prometheus", "9090", "api/v1/query",
		map[string]string{"query": expression}).DoRaw(ctx)
	if err != nil {
		return "", err
	}
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return "", err
	}
	if results := answer.Data.Result; len(results) == 1 {
		return fmt.Sprint(results[0].Value[1]), nil
	}
	return "", nil
}
