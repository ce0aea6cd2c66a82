package azure

import (
	"testing"
	"time"
)

// Waits grow to the limit, and never undercut what the service asked for.
func TestWait(t *testing.T) {
	r := Retry{}.withDefaults()
	for n := 1; n < 100; n++ {
		for range 100 {
			if w := r.wait(n, 0); w < r.Delay/2 || w > r.MaxDelay {
				t.Fatalf("attempt %d: waits %v", n, w)
			}
			if w := r.wait(n, time.Minute); w < time.Minute || w > 75*time.Second {
				t.Fatalf("attempt %d: waits %v, was asked for a minute", n, w)
			}
		}
	}
	if w := r.wait(50, 0); w < r.MaxDelay/2 {
		t.Errorf("attempt 50: waits only %v", w)
	}
}

// Pods that were throttled together do not come back together.
func TestWaitIsJittered(t *testing.T) {
	r := Retry{}.withDefaults()
	for _, retryAfter := range []time.Duration{0, time.Second} {
		seen := map[time.Duration]bool{}
		for range 20 {
			seen[r.wait(3, retryAfter)] = true
		}
		if len(seen) < 10 {
			t.Errorf("Retry-After %v: %d different waits of 20", retryAfter, len(seen))
		}
	}
}
