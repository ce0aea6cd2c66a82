package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/azure"
)

// parallel bounds the requests in flight: all pods of a cluster share what a vault answers.
const parallel = 4

// poll looks for new versions once, and brings them. It reports whether the pod is to be restarted, and how long Azure asks to be left alone.
func (s *syncing) poll(ctx context.Context) (restart bool, retryAfter time.Duration) {
	polling, cancel := context.WithTimeout(ctx, s.deadline)
	defer cancel()
	p := &poll{syncing: s}
	changed := p.changed(polling)
	if len(changed) > 0 && s.how == keyvault.RotateFiles {
		p.refresh(polling, changed)
	}
	if len(changed) > 0 && s.how == keyvault.RotateByRestart {
		restart = p.restart(ctx)
	}
	if ctx.Err() != nil { // SIGTERM: what failed by that is no problem
		return false, 0
	}
	s.tell(p.errs)
	return restart, p.retryAfter
}

// poll is one look at the vaults.
type poll struct {
	*syncing
	mu         sync.Mutex
	errs       []error
	retryAfter time.Duration
}

// failed notes a problem.
func (p *poll) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errs = append(p.errs, err)
	for _, f := range failuresOf(err) {
		p.retryAfter = max(p.retryAfter, f.RetryAfter())
	}
}

// changed lists the objects whose newest version is another than the delivered one. It asks for metadata only.
func (p *poll) changed(ctx context.Context) []keyvault.Reference {
	newest := make([]string, len(p.watched))
	p.each(p.watched, func(i int, r keyvault.Reference) {
		version, err := p.client.Newest(ctx, r.Object())
		switch failures := failuresOf(err); {
		case err == nil:
			newest[i] = version
		case len(failures) == 1 && failures[0].Kind == azure.Missing && r.Optional && p.known[r.Object()] == "":
			// as it was
		default:
			p.failed(err)
		}
	})
	var out []keyvault.Reference
	for i, r := range p.watched {
		o := r.Object()
		if newest[i] == "" || newest[i] == p.known[o] {
			continue
		}
		if p.unknown[o] && p.how == keyvault.RotateByRestart { // taken for delivered: a needless restart is worse
			delete(p.unknown, o)
			p.known[o] = newest[i]
			continue
		}
		out = append(out, r)
	}
	return out
}

// each calls do for every reference, a few at a time.
func (p *poll) each(references []keyvault.Reference, do func(i int, r keyvault.Reference)) {
	var g errgroup.Group
	g.SetLimit(parallel)
	for i, r := range references {
		g.Go(func() error {
			defer func() {
				if v := recover(); v != nil { // its message might hold a value; the stack holds addresses only
					p.log.Error("internal error", "panic", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
					p.failed(fmt.Errorf("%s: internal error; report the stack in the log", r))
				}
			}()
			do(i, r)
			return nil
		})
	}
	_ = g.Wait()
}

// tell logs what became wrong and what is right again, and keeps quiet of what stays as it was.
func (s *syncing) tell(errs []error) {
	now := map[string]int{}
	for _, err := range errs {
		for _, line := range linesOf(err) {
			if _, ok := now[line.subject]; ok {
				continue
			}
			now[line.subject] = line.code
			if code, ok := s.problems[line.subject]; !ok || code != line.code {
				s.log.Warn("cannot refresh; what is delivered stays as it is", "problem", line.text)
			}
		}
	}
	for _, subject := range slices.Sorted(maps.Keys(s.problems)) {
		if _, ok := now[subject]; !ok {
			s.log.Info("recovered", "subject", subject)
		}
	}
	s.problems = now
}

// line is a problem for the log. Its text may differ from poll to poll though the problem is the same: a port, a time.
type line struct {
	subject, text string
	code          int
}

func linesOf(err error) []line {
	var out []line
	for _, f := range failuresOf(err) {
		out = append(out, line{f.Subject, f.Error(), codeOfKind(f.Kind)})
	}
	if len(out) == 0 {
		for text := range strings.SplitSeq(err.Error(), "\n") {
			subject, _, _ := strings.Cut(text, ": ")
			out = append(out, line{subject, text, codeOf(err)})
		}
	}
	return out
}

// failuresOf lists what Azure said no to.
func failuresOf(err error) azure.Failures {
	var several azure.Failures
	if errors.As(err, &several) {
		return several
	}
	if one := (*azure.Failure)(nil); errors.As(err, &one) {
		return azure.Failures{one}
	}
	return nil
}
