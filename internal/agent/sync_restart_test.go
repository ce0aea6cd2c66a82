package agent_test

import (
	"os"
	"testing"
	"time"

	"twelvefold.dev/internal/agent"
	"twelvefold.dev/internal/emulator"
)

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
