package agent_test

import (
	"bytes"
	"context"
	"os"
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

// slow is a fault.
var slow = emulator.Fault{Delay: time.Hour}

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

func TestSyncRefreshesFiles(t *testing.T) {
	p := newPairPod(t)
	values := p.valueRequests("crt") + p.valueRequests("key")
	s := p.sync(t, pairPlan(), "files")
	for range 3 {
		if d := s.turn(t); d < 54*time.Second || d > 66*time.Second {
			t.Errorf("waits %v, want the interval of 1m or a tenth more or less", d)
		}
	}
	s.wantFiles(t, pairFiles(marker+"-crt", marker+"-key"))
	if n := p.valueRequests("crt") + p.valueRequests("key"); n != values {
		t.Errorf("%d requests for values though nothing changed", n-values)
	}
	if n := p.metadataRequests("crt"); n != 3 {
		t.Errorf("%d requests for metadata in 3 polls", n)
	}
	before, _ := os.Readlink(p.path("volumes/tls/..data"))
	s.turn(t)
	if after, _ := os.Readlink(p.path("volumes/tls/..data")); after != before {
		t.Error("a set was replaced though nothing changed")
	}

	values = p.valueRequests("key")
	p.set(t, "crt", marker+"-crt-2")
	p.set(t, "password", marker+"-password-2")
	s.turn(t)
	s.wantFiles(t, pairFiles(marker+"-crt-2", marker+"-key"))
	if n := p.valueRequests("key"); n != values {
		t.Error("the value that did not change was read")
	}
	s.wantLog(t, "environment variables keep the values", 1)
	s.wantLog(t, `"refreshed"`, 1)
	if n := p.metadataRequests("password"); n > 0 {
		t.Errorf("%d requests for what only a variable takes", n)
	}
	s.stop()
	if code := <-s.ended; code != agent.ExitOK {
		t.Errorf("exit code %d after SIGTERM", code)
	}

	// What it delivered is noted: another one reads no value.
	values = p.valueRequests("crt")
	p.sync(t, pairPlan(), "files").turn(t)
	if n := p.valueRequests("crt"); n != values {
		t.Errorf("a restarted sync reads %d values", n-values)
	}
}

func TestSyncWithoutNotes(t *testing.T) {
	p := newPairPod(t)
	if err := os.RemoveAll(p.path("state")); err != nil {
		t.Fatal(err)
	}
	p.set(t, "crt", marker+"-crt-2")
	p.Fail(shop, emulator.Fault{Path: "/secrets/key", Status: 403})
	s := p.sync(t, pairPlan(), "files")
	s.turn(t)
	s.wantFiles(t, pairFiles(marker+"-crt-2", marker+"-key")) // what can't be had is not lost
	p.Heal(shop)
	p.set(t, "key", marker+"-key-2")
	s.turn(t)
	s.wantFiles(t, pairFiles(marker+"-crt-2", marker+"-key-2"))
	values := p.valueRequests("crt") + p.valueRequests("key")
	s.turn(t)
	if n := p.valueRequests("crt") + p.valueRequests("key"); n != values {
		t.Errorf("%d values are read though nothing changed", n-values)
	}
}

func TestSyncFailures(t *testing.T) {
	for name, tc := range map[string]struct {
		fail func(t *testing.T, p *pod)
		mend func(t *testing.T, p *pod)
		want string
		both bool // secrets of the two have it
	}{
		"throttled":  {fail: func(_ *testing.T, p *pod) { p.Fail(shop, emulator.Fault{Status: 429}) }, want: "Azure answers 429", both: true},
		"broken":     {fail: func(_ *testing.T, p *pod) { p.Fail(shop, emulator.Fault{Status: 503}) }, want: "Azure answers 503", both: true},
		"down":       {fail: func(_ *testing.T, p *pod) { p.Fail(shop, emulator.Fault{Down: true}) }, want: "cannot reach", both: true},
		"value only": {fail: func(_ *testing.T, p *pod) { p.Fail(shop, emulator.Fault{Path: "/secrets/crt/", Status: 400}) }, want: "Azure answers 400"},
		"denied": {
			fail: func(_ *testing.T, p *pod) { p.identity(emulator.Identity{}) },
			mend: func(_ *testing.T, p *pod) {
				p.identity(emulator.Identity{Roles: map[string]emulator.Role{"*": emulator.SecretsUser}})
			},
			want: "ForbiddenByRbac", both: true,
		},
		"Entra down": {fail: func(_ *testing.T, p *pod) { p.Fail("login.microsoftonline.com", emulator.Fault{Down: true}) }, want: "login.microsoftonline.com"},
		"disk full": {
			fail: func(t *testing.T, p *pod) { move(t, p.path("volumes/tls"), p.path("volumes/away")) },
			mend: func(t *testing.T, p *pod) { move(t, p.path("volumes/away"), p.path("volumes/tls")) },
			want: "the volume tls",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPairPod(t)
			s := p.sync(t, pairPlan(), "files")
			p.set(t, "crt", marker+"-crt-2")
			tc.fail(t, p)
			for range 3 {
				s.turn(t)
			}
			times := 1
			if tc.both {
				times = 2
			}
			s.wantLog(t, tc.want, times)
			s.wantLog(t, "recovered", 0)
			p.Heal(shop)
			p.Heal("login.microsoftonline.com")
			if tc.mend != nil {
				tc.mend(t, p)
			}
			s.turn(t)
			s.turn(t)
			s.wantFiles(t, pairFiles(marker+"-crt-2", marker+"-key"))
			if !strings.Contains(s.text(), "recovered") {
				t.Errorf("the log does not tell of the recovery:\n%s", s.text())
			}
		})
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestSyncKeepsWhatWasDisabled(t *testing.T) {
	p := newPairPod(t)
	s := p.sync(t, pairPlan(), "files")
	version := p.set(t, "crt", marker+"-crt-2")
	s.turn(t)
	p.secret(t, shop, emulator.Secret{Name: "crt", Version: version, Value: marker, Disabled: true})
	for range 3 {
		s.turn(t)
	}
	s.wantFiles(t, pairFiles(marker+"-crt-2", marker+"-key"))
	s.wantLog(t, "disabled", 1)
}

func TestSyncHonoursRetryAfter(t *testing.T) {
	p := newPairPod(t)
	s := p.sync(t, pairPlan(), "files")
	p.Fail(shop, emulator.Fault{Status: 429, RetryAfter: 10 * time.Minute})
	if d := s.turn(t); d < 10*time.Minute {
		t.Errorf("comes back after %v, was asked to wait 10m", d)
	}
}

func TestSyncAddsAnOptionalFile(t *testing.T) {
	p := newPairPod(t)
	plan := pairPlan()
	optional := in("ca")
	optional.Optional = true
	plan.Files = append(plan.Files, keyvault.FileItem{Volume: "tls", Path: "ca.crt", Reference: optional})
	p.fetch(t, plan).want(t, agent.ExitOK)
	s := p.sync(t, plan, "files")
	s.turn(t)
	s.wantLog(t, "cannot refresh", 0)
	p.set(t, "ca", marker+"-ca")
	s.turn(t)
	want := pairFiles(marker+"-crt", marker+"-key")
	want["volumes/tls/ca.crt"] = marker + "-ca"
	s.wantFiles(t, want)
}

// A file that is lost, or can't be read, is fetched anew with the others of its volume.
func TestSyncMendsAFile(t *testing.T) {
	p := newPairPod(t)
	if err := os.Remove(p.path("volumes/tls/..data/tls.key")); err != nil {
		t.Fatal(err)
	}
	s := p.sync(t, pairPlan(), "files")
	p.set(t, "crt", marker+"-crt-2")
	s.turn(t)
	s.wantFiles(t, pairFiles(marker+"-crt-2", marker+"-key"))
}

func TestSyncRestarts(t *testing.T) {
	p := newPairPod(t)
	before := p.delivered(t)
	s := p.sync(t, pairPlan(), "restart")
	s.turn(t)
	p.set(t, "password", marker+"-password-2")
	if d := s.turn(t); d >= time.Minute {
		t.Errorf("the restart is to be %v from now, want less than an interval", d)
	}
	if code := s.end(t); code != agent.ExitRestart {
		t.Fatalf("exit code %d; log:\n%s", code, s.text())
	}
	s.wantFiles(t, before) // the containers still run with them
	s.wantLog(t, "restarting for a new version", 1)
	s.wantLog(t, "secret password in vault", 1)

	p.fetch(t, pairPlan()).want(t, agent.ExitOK)
	want := pairFiles(marker+"-crt", marker+"-key")
	want["env/env"] = "K0='" + marker + "-password-2'\n"
	s.wantFiles(t, want)

	// It changes again at once: the next restart waits.
	p.set(t, "password", marker+"-password-3")
	s = p.sync(t, pairPlan(), "restart")
	s.advance(time.Minute)
	s.turn(t)
	s.turn(t)
	s.wantLog(t, "the next restart waits until", 1)
	s.advance(5 * time.Minute)
	s.turn(t)
	if code := s.end(t); code != agent.ExitRestart {
		t.Errorf("exit code %d; log:\n%s", code, s.text())
	}
}

func TestSyncRestartsOnlyForWhatCanBeDelivered(t *testing.T) {
	for name, tc := range map[string]struct {
		value string
		fail  *emulator.Fault
		want  string
	}{
		"single quote": {marker + "'", nil, "single quote"},
		"unreachable":  {marker, &emulator.Fault{Path: "/secrets/key", Status: 400}, "Azure answers 400"}, // another than the one that changed
	} {
		t.Run(name, func(t *testing.T) {
			p := newPairPod(t)
			s := p.sync(t, pairPlan(), "restart")
			p.set(t, "password", tc.value)
			if tc.fail != nil {
				p.Fail(shop, *tc.fail)
			}
			for range 4 { // two polls, each followed by the wait before a restart
				s.turn(t)
			}
			s.wantLog(t, tc.want, 1)
			if _, err := os.Stat(p.path("state/restart.json")); err == nil {
				t.Error("a restart is noted")
			}
		})
	}
}

// What can't be limited is not done: Kubernetes knows no backoff for such restarts.
func TestSyncDoesNotRestartWithoutNotes(t *testing.T) {
	p := newPairPod(t)
	s := p.sync(t, pairPlan(), "restart")
	p.set(t, "password", marker+"-2")
	if err := os.RemoveAll(p.path("state")); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		s.turn(t)
	}
	s.wantLog(t, "cannot restart the pod", 1)

	// Without knowing what was delivered, the first look counts.
	s = p.sync(t, pairPlan(), "restart")
	s.turn(t)
	s.turn(t)
	s.wantLog(t, "restart the pod", 0)
}

func TestClockThatWasSetBack(t *testing.T) {
	p := newPairPod(t)
	if err := os.WriteFile(p.path("state/restart.json"), []byte(`"2999-01-01T00:00:00Z"`), 0o644); err != nil {
		t.Fatal(err)
	}
	s := p.sync(t, pairPlan(), "restart")
	p.set(t, "password", marker+"-2")
	s.turn(t)
	s.wantLog(t, "the next restart waits until", 1)
	s.advance(6 * time.Minute)
	s.turn(t)
	if code := s.end(t); code != agent.ExitRestart {
		t.Errorf("exit code %d; log:\n%s", code, s.text())
	}
}

func TestSyncStopsWhileAzureIsSlow(t *testing.T) {
	p := newPairPod(t)
	s := p.sync(t, pairPlan(), "files")
	p.retry.Timeout = time.Hour
	p.Fail(shop, slow)
	s.turns <- struct{}{}
	p.waitForRequest(t, shop)
	s.stop()
	select {
	case code := <-s.ended:
		if code != agent.ExitOK || strings.Contains(s.text(), "cannot refresh") {
			t.Errorf("exit code %d, log:\n%s", code, s.text())
		}
	case <-time.After(time.Minute):
		t.Error("sync goes on")
	}
}

func TestSyncSettings(t *testing.T) {
	for name, tc := range map[string]struct {
		change map[string]string
		want   string
	}{
		"no rotation":  {map[string]string{"TWELVEFOLD_ROTATION": ""}, "TWELVEFOLD_ROTATION"},
		"bad interval": {map[string]string{"TWELVEFOLD_INTERVAL": "soon"}, "keyVault.rotationInterval"},
		"no interval":  {map[string]string{"TWELVEFOLD_INTERVAL": "0s"}, "keyVault.rotationInterval"},
		"no plan":      {map[string]string{keyvault.PlanEnv: ""}, keyvault.PlanEnv},
		"no identity":  {map[string]string{"AZURE_CLIENT_ID": ""}, "AZURE_CLIENT_ID"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			p.env["TWELVEFOLD_ROTATION"], p.env[keyvault.PlanEnv] = "files", `{"files":[{"path":"f","vault":"`+shop+`","object":"a"}]}`
			for k, v := range tc.change {
				p.env[k] = v
			}
			r := p.run(t, append([]string{"sync"}, p.args...)...)
			if r.code != agent.ExitConfiguration || !strings.Contains(r.log, tc.want) {
				t.Errorf("exit code %d, log:\n%s", r.code, r.log)
			}
		})
	}
}
