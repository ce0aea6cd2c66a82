package agent

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/azure"
)

// syncing is one run of the sync command: a native sidecar that looks for new versions until SIGTERM.
type syncing struct {
	delivery
	deadline     time.Duration // of one poll
	restartLimit time.Duration // the least between two restarts

	how      string
	interval time.Duration
	todo     keyvault.Plan
	watched  []keyvault.Reference // one for each object, optional if all its uses are
	client   *azure.Client
	known    versions                 // what is delivered
	unknown  map[keyvault.Object]bool // of which nobody noted what is delivered
	problems map[string]int           // what is wrong now: by subject, the exit code that fetch would have for it
}

// run ends with SIGTERM, or with [ExitRestart] if all containers are to be restarted.
func (s *syncing) run(ctx context.Context) error {
	if err := s.prepare(); err != nil {
		return err
	}
	s.log.Info("watching", "objects", len(s.watched), "rotation", s.how, "interval", s.interval.String())
	wait := rand.N(s.interval) // pods that started together don't ask together
	for s.sleep(ctx, wait) {
		restart, retryAfter := s.poll(ctx)
		if restart {
			return &exitError{errors.New("the pod restarts for new versions"), ExitRestart}
		}
		debug.FreeOSMemory() // until the next poll, this stands beside every app and does nothing
		wait = max(s.interval-s.interval/10+rand.N(s.interval/5+1), retryAfter)
	}
	return nil
}

func (s *syncing) prepare() (err error) {
	if s.how, s.interval, err = s.rotation(); err != nil {
		return err
	}
	if s.todo, err = s.plan(); err != nil {
		return err
	}
	// Its own log would tell of every attempt; here changes of state are told.
	if s.client, err = s.delivery.client(slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	s.watched = s.toWatch()
	s.problems, s.unknown = map[string]int{}, map[keyvault.Object]bool{}
	var ok bool
	if s.known, ok = s.noted(); !ok {
		s.known = versions{}
		for _, r := range s.watched {
			s.unknown[r.Object()] = true
		}
	}
	return nil
}

// toWatch lists the objects that may get a new version which matters.
func (s *syncing) toWatch() []keyvault.Reference {
	var out []keyvault.Reference
	fixed := 0
	for i, r := range referencesOf(s.todo) {
		if r.Version != "" {
			continue
		}
		if s.how == keyvault.RotateFiles && i < len(s.todo.Env) {
			fixed++ // the environment of a process can't be changed
			continue
		}
		if i := slices.IndexFunc(out, func(o keyvault.Reference) bool { return o.Object() == r.Object() }); i >= 0 {
			out[i].Optional = out[i].Optional && r.Optional
			continue
		}
		out = append(out, r)
	}
	if fixed > 0 {
		s.log.Info("environment variables keep the values that their container started with", "variables", fixed)
	}
	return out
}

// sleep reports false when it is time to end.
func (s *syncing) sleep(ctx context.Context, d time.Duration) bool {
	if s.Sleep != nil {
		return s.Sleep(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *syncing) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}
