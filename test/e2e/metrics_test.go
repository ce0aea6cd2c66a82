//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// Applications that know nothing of metrics are found and scraped by a Prometheus that knows nothing of them.
func TestMetrics(t *testing.T) {
	p := optedIn(t, "metrics")
	var passwords []string
	for _, name := range []string{"metrics-postgres", "metrics-mariadb", "metrics-redis"} {
		password := "e2e" + rand.Text()
		passwords = append(passwords, password)
		p.setSecret(shopVault, name, password+"@:/?#%") // what connection strings must escape
	}
	for _, file := range []string{"metrics-databases.yaml", "metrics-runtimes.yaml", "metrics-two.yaml", "metrics-servers.yaml", "redis.yaml"} {
		p.applyManifest(file)
	}
	if err := p.applyFile(t.Context(), "monitoring", "prometheus.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := p.rolledOut(t.Context(), "monitoring", "prometheus"); err != nil {
		t.Fatal(err)
	}

	apps := []struct{ name, sidecar, series, value string }{
		{"redis", "twelvefold-redis-exporter", `redis_up`, "1"},
		{"nginx", "twelvefold-nginx-exporter", `nginx_up`, "1"},
		{"httpd", "twelvefold-apache-exporter", `apache_up`, "1"},
		{"memcached", "twelvefold-memcached-exporter", `memcached_up`, "1"},
		{"postgres", "twelvefold-postgres-exporter", `pg_up`, "1"},
		{"mariadb", "twelvefold-mysql-exporter", `mysql_up`, "1"},
		{"gunicorn", "twelvefold-statsd-exporter", `gunicorn_request_duration_count > bool 0`, "1"},
		{"jvm", "", `jmx_scrape_error`, "0"},
		{"two", "twelvefold-redis-exporter", `redis_up{twelvefold_source="cache"}`, "1"},
		{"two", "twelvefold-merge", `shop_orders_total{twelvefold_source="shop"}`, "3"},
	}
	pods := map[string]bool{}
	for _, app := range apps {
		t.Run(app.name+": "+app.series, func(t *testing.T) {
			p := place{p.environment, t, p.name}
			pod := p.running(app.name)
			pods[pod.Name] = true
			if app.sidecar != "" && !slices.Contains(containers(pod), app.sidecar) {
				t.Fatalf("containers %v, want %s among them; status %s", containers(pod), app.sidecar, pod.Annotations["twelvefold.dev/status"])
			}
			p.eventually(func(ctx context.Context) error {
				value, err := p.query(ctx, fmt.Sprintf(`%s and on(pod) up{namespace=%q,pod=%q}`, app.series, p.name, pod.Name))
				if err == nil && value != app.value {
					err = fmt.Errorf("%s is %q, want %s", app.series, value, app.value)
				}
				return err
			})
		})
	}
	t.Run("one healthy target a pod", func(t *testing.T) {
		place{p.environment, t, p.name}.eventually(func(ctx context.Context) error { return p.targetsAre(ctx, pods) })
	})
	notLeaked(t, p, passwords)
}

// query asks Prometheus for a single value; empty if there is none.
func (p place) query(ctx context.Context, expression string) (string, error) {
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := p.prometheus(ctx, "query", map[string]string{"query": expression}, &answer); err != nil {
		return "", err
	}
	if results := answer.Data.Result; len(results) == 1 {
		return fmt.Sprint(results[0].Value[1]), nil
	}
	return "", nil
}

// targetsAre says what is wrong where Prometheus' targets in the namespace are not one for each of the pods, all of them
// healthy.
func (p place) targetsAre(ctx context.Context, pods map[string]bool) error {
	var answer struct {
		Data struct {
			ActiveTargets []struct {
				Labels                       map[string]string
				ScrapeURL, Health, LastError string
			}
		}
	}
	if err := p.prometheus(ctx, "targets", map[string]string{"state": "active"}, &answer); err != nil {
		return err
	}
	var wrong []error
	instances, found := map[string]bool{}, map[string]bool{}
	for _, target := range answer.Data.ActiveTargets {
		if target.Labels["namespace"] != p.name {
			continue
		}
		instance, pod := target.Labels["instance"], target.Labels["pod"]
		if instances[instance] || found[pod] || !pods[pod] {
			wrong = append(wrong, fmt.Errorf("%s of pod %s is there twice, or should not be", target.ScrapeURL, pod))
		}
		if target.Health != "up" {
			wrong = append(wrong, fmt.Errorf("%s of pod %s is %s: %s", target.ScrapeURL, pod, target.Health, target.LastError))
		}
		instances[instance], found[pod] = true, true
	}
	if len(found) != len(pods) {
		wrong = append(wrong, fmt.Errorf("targets in %d pods, want %d", len(found), len(pods)))
	}
	return errors.Join(wrong...)
}

// prometheus asks Prometheus' API.
func (p place) prometheus(ctx context.Context, path string, parameters map[string]string, answer any) error {
	raw, err := p.kube.CoreV1().Services("monitoring").ProxyGet("http", "prometheus", "9090", "api/v1/"+path, parameters).DoRaw(ctx)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, answer)
}
