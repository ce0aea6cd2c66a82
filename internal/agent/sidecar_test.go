package agent_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/agent"
	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/keyvault"
)

// sidecar is a running sync, whose time the test gives.
type sidecar struct {
	*pod
	waits chan time.Duration // how long it wants to wait; then it waits for turns
	turns chan struct{}
	ended chan int
	stop  func()

	mu   sync.Mutex
	log  bytes.Buffer
	now  time.Time
	fail bool // panic when asked for the time
}

// sync starts the agent's sync. It waits for its first poll.
func (p *pod) sync(t *testing.T, plan keyvault.Plan, rotation string) *sidecar {
	t.Helper()
	p.env[keyvault.PlanEnv], p.env["TWELVEFOLD_ROTATION"], p.env["TWELVEFOLD_INTERVAL"] = planText(t, plan), rotation, "1m"
	env := map[string]string{}
	for k, v := range p.env {
		env[k] = v
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := &sidecar{pod: p, waits: make(chan time.Duration), turns: make(chan struct{}), ended: make(chan int, 1), stop: cancel, now: time.Now()}
	a := &agent.Agent{
		Env: func(name string) string { return env[name] }, Stdout: s, Stderr: s, Retry: p.retry, Now: s.clock,
		Sleep: func(ctx context.Context, d time.Duration) bool {
			select {
			case s.waits <- d:
			case <-ctx.Done():
				return false
			}
			select {
			case <-s.turns:
				return true
			case <-ctx.Done():
				return false
			}
		},
	}
	go func() { s.ended <- a.Run(ctx, append([]string{"sync", "--deadline", "1m"}, p.args...)) }()
	t.Cleanup(func() {
		cancel()
		log := s.text()
		if strings.Contains(log, marker) || strings.Contains(log, "eyJ") {
			t.Errorf("the log holds a value or a token:\n%s", log)
		}
	})
	if d := s.idle(t); d < 0 || d >= time.Minute {
		t.Errorf("the first poll is after %v, want less than an interval", d)
	}
	return s
}

func (s *sidecar) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

func (s *sidecar) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func (s *sidecar) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail {
		panic(marker)
	}
	return s.now
}

func (s *sidecar) advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// idle waits until sync wants to wait, and returns how long.
func (s *sidecar) idle(t *testing.T) time.Duration {
	t.Helper()
	select {
	case d := <-s.waits:
		return d
	case code := <-s.ended:
		t.Fatalf("sync ended with %d; log:\n%s", code, s.text())
	case <-time.After(time.Minute):
		t.Fatalf("sync does not come to wait; log:\n%s", s.text())
	}
	return 0
}

// turn lets sync go on to its next wait.
func (s *sidecar) turn(t *testing.T) time.Duration {
	t.Helper()
	s.turns <- struct{}{}
	return s.idle(t)
}

// end lets sync go on to its end.
func (s *sidecar) end(t *testing.T) (code int) {
	t.Helper()
	s.turns <- struct{}{}
	select {
	case code = <-s.ended:
	case d := <-s.waits:
		t.Fatalf("sync waits %v; log:\n%s", d, s.text())
	case <-time.After(time.Minute):
		t.Fatalf("sync does not end; log:\n%s", s.text())
	}
	return code
}

// wantLog checks how often the log says something.
func (s *sidecar) wantLog(t *testing.T, text string, times int) {
	t.Helper()
	if n := strings.Count(s.text(), text); n != times {
		t.Errorf("the log says %q %d times, want %d:\n%s", text, n, times, s.text())
	}
}

func (s *sidecar) wantFiles(t *testing.T, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, s.delivered(t)); diff != "" {
		t.Errorf("(-want +got):\n%s\nlog:\n%s", diff, s.text())
	}
}

// valueRequests counts the requests for the value of a secret.
func (p *pod) valueRequests(name string) int {
	n := 0
	for _, r := range p.Requests() {
		if r.Host == shop && strings.TrimSuffix(r.Path, "/") == "/secrets/"+name {
			n++
		}
	}
	return n
}

// metadataRequests counts the requests for the versions of a secret that were answered.
func (p *pod) metadataRequests(name string) int {
	n := 0
	for _, r := range p.Requests() {
		if r.Host == shop && r.Path == "/secrets/"+name+"/versions" && r.Status == 200 {
			n++
		}
	}
	return n
}

// waitForRequest waits until a request to a host is under way.
func (p *pod) waitForRequest(t *testing.T, host string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); p.requests(host)[0] == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no request comes")
		}
	}
}

// set makes a new version of a secret in the vault shop.
func (p *pod) set(t *testing.T, name, value string) string {
	t.Helper()
	return p.secret(t, shop, emulator.Secret{Name: name, Value: value})
}

// pairPlan are a pair in one volume, one of it in another, and a variable.
func pairPlan() keyvault.Plan {
	return keyvault.Plan{
		Env: []keyvault.EnvItem{{Key: "K0", Reference: in("password"), EnvName: "PASSWORD"}},
		Files: []keyvault.FileItem{
			{Volume: "tls", Path: "tls.crt", Reference: in("crt")}, {Volume: "tls", Path: "tls.key", Reference: in("key")}, {Path: "crt", Reference: in("crt")},
		},
	}
}

func newPairPod(t *testing.T) *pod {
	t.Helper()
	p := newPod(t)
	p.set(t, "crt", marker+"-crt")
	p.set(t, "key", marker+"-key")
	p.set(t, "password", marker+"-password")
	p.fetch(t, pairPlan()).want(t, agent.ExitOK)
	return p
}

func pairFiles(crt, key string) map[string]string {
	return map[string]string{"env/env": "K0='" + marker + "-password'\n", "volumes/tls/tls.crt": crt, "volumes/tls/tls.key": key, "files/crt": crt}
}
