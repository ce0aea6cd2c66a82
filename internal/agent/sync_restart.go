package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// restart reports whether all containers are to be restarted, so that fetch brings the new versions. It writes nothing of them, since the
// containers still run with the old ones, but makes sure that fetch will succeed. Kubernetes knows no backoff here, so a note
// in the state directory stands for one.
func (p *poll) restart(ctx context.Context) bool {
	if err := p.mayRestart(); err != nil {
		p.failed(err)
		return false
	}
	if !p.sleep(ctx, rand.N(p.interval)) { // the pods of a Deployment don't restart together
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, p.deadline)
	defer cancel()
	contents, err := p.client.Fetch(ctx, referencesOf(p.todo))
	if err == nil {
		_, err = payloadOf(p.todo, contents)
	}
	if err != nil {
		p.failed(err)
		return false
	}
	renewed := 0
	for _, r := range p.watched {
		o := r.Object()
		if content, ok := contents[o]; ok && content.Version != p.known[o] && !p.unknown[o] {
			p.log.Info("restarting for a new version", "object", o.String(), "version", content.Version)
			renewed++
		}
	}
	if renewed == 0 { // Azure's lists and values may disagree for a while
		return false
	}
	if err := p.noteRestart(p.now()); err != nil {
		p.failed(fmt.Errorf("cannot restart the pod: %w", volumeError("twelvefold-state", err)))
		return false
	}
	return true
}

// mayRestart says until when the last restart forbids another.
func (p *poll) mayRestart() error {
	last, err := p.lastRestart()
	if err != nil {
		return fmt.Errorf("cannot restart the pod: %w", volumeError("twelvefold-state", err))
	}
	now := p.now()
	if last.After(now) { // the clock was set back
		last = now
		if err := p.noteRestart(now); err != nil {
			return fmt.Errorf("cannot restart the pod: %w", volumeError("twelvefold-state", err))
		}
	}
	if until := last.Add(max(p.restartLimit, p.interval)); now.Before(until) {
		return fmt.Errorf("there is a new version, but the pod restarted lately: the next restart waits until %s", until.UTC().Format(time.TimeOnly+" MST"))
	}
	return nil
}
