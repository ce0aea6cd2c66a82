package azure

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"
)

// Retry says how failures that may pass are retried, until the context's deadline.
type Retry struct {
	Delay    time.Duration // before the second attempt; doubles from there. Default 500ms
	MaxDelay time.Duration // default 8s; a longer Retry-After counts all the same
	Timeout  time.Duration // of one attempt, default 10s
}

func (r Retry) withDefaults() Retry {
	r.Delay = cmp.Or(r.Delay, 500*time.Millisecond)
	r.MaxDelay = cmp.Or(r.MaxDelay, 8*time.Second)
	r.Timeout = cmp.Or(r.Timeout, 10*time.Second)
	return r
}

// wait is how long to wait after attempt n (from 1): at least what the service asked for, and a random part on top,
// so that the pods of a cluster that were throttled together don't come back together.
func (r Retry) wait(n int, retryAfter time.Duration) time.Duration {
	backoff := min(r.Delay<<min(n-1, 16), r.MaxDelay)
	if retryAfter > 0 {
		return retryAfter + rand.N(max(retryAfter/4, r.Delay))
	}
	return backoff/2 + rand.N(backoff/2+1)
}

// jitter is the wait before the very first request, for pods that start together.
func (r Retry) jitter() time.Duration { return rand.N(r.Delay/4 + 1) }

// sleep waits for d. It reports false, at once, if the deadline comes first.
func sleep(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
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
