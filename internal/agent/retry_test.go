package agent_test

import (
	"testing"
	"time"

	"twelvefold.dev/internal/agent"
	"twelvefold.dev/internal/emulator"
)

func TestTemporaryFaultsAreRetried(t *testing.T) {
	for name, fault := range map[string]emulator.Fault{
		"408": {Status: 408, Times: 1}, "429": {Status: 429, Times: 3}, "503": {Status: 503, Times: 2}, "500": {Status: 500, Times: 1}, "reset": {Down: true, Times: 2},
	} {
		for _, host := range []string{shop, "login.microsoftonline.com"} {
			t.Run(name+" from "+host, func(t *testing.T) {
				p := newPod(t)
				p.secret(t, shop, emulator.Secret{Name: "db-password", Value: marker})
				p.Fail(host, fault)
				p.fetch(t, env(in("db-password"))).want(t, agent.ExitOK)
			})
		}
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	p := newPod(t)
	p.secret(t, shop, emulator.Secret{Name: "db-password", Value: marker})
	p.Fail(shop, emulator.Fault{Status: 429, RetryAfter: time.Second, Times: 1})
	start := time.Now()
	p.fetch(t, env(in("db-password"))).want(t, agent.ExitOK)
	if took := time.Since(start); took < time.Second {
		t.Errorf("came back after %v, was asked to wait 1s", took)
	}
}

func TestFailuresThatLast(t *testing.T) {
	const entra = "login.microsoftonline.com"
	for name, tc := range map[string]struct {
		host  string
		fault emulator.Fault
		want  string
	}{
		"throttled":       {shop, emulator.Fault{Status: 429}, "the vault is throttled (Azure answers 429"},
		"broken":          {shop, emulator.Fault{Status: 500}, "Azure answers 500"},
		"slow":            {shop, emulator.Fault{Delay: time.Hour}, "no answer from " + shop},
		"down":            {shop, emulator.Fault{Down: true}, "cannot reach " + shop},
		"Entra throttled": {entra, emulator.Fault{Status: 429}, "Entra ID answers 429"},
		"Entra slow":      {entra, emulator.Fault{Delay: time.Hour}, "no answer from " + entra},
		"Entra down":      {entra, emulator.Fault{Down: true}, "cannot reach " + entra},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			p.secret(t, shop, emulator.Secret{Name: "db-password", Value: marker})
			p.Fail(tc.host, tc.fault)
			p.patience = tc.want
			if tc.fault.Delay > 0 {
				p.retry.Timeout = 200 * time.Millisecond
			}
			p.fetch(t, env(in("db-password"))).want(t, agent.ExitUnreachable, tc.want)
		})
	}
}

func TestDeadline(t *testing.T) {
	p := newPod(t)
	p.Fail(shop, emulator.Fault{Status: 429})
	p.fetch(t, env(in("a")), "--deadline", "200ms").want(t, agent.ExitUnreachable, "secret a in vault")
}

// There is no use in waiting for what comes after the deadline.
func TestRetryAfterPastTheDeadline(t *testing.T) {
	p := newPod(t)
	p.Fail(shop, emulator.Fault{Status: 429, RetryAfter: time.Hour})
	p.fetch(t, env(in("a"))).want(t, agent.ExitUnreachable, "429")
	if n := p.requests(shop)[429]; n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
}

func TestSlowAnswerIsGivenUpAndAskedAgain(t *testing.T) {
	p := newPod(t)
	p.secret(t, shop, emulator.Secret{Name: "db-password", Value: marker})
	p.retry.Timeout = 500 * time.Millisecond
	p.Fail(shop, emulator.Fault{Delay: time.Hour, Times: 1})
	p.fetch(t, env(in("db-password"))).want(t, agent.ExitOK)
}
