package agent_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"twelvefold.dev/internal/agent"
	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/keyvault"
)

// slow is a fault.
var slow = emulator.Fault{Delay: time.Hour}

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
