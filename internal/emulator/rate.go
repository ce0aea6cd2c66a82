package emulator

import (
	"net/http"
	"sync"
	"time"
)

// rates counts the requests to vaults in their windows.
type rates struct {
	mu      sync.Mutex
	windows map[string]window // by host
}

type window struct {
	begin time.Time
	used  int
}

// exceeded counts a request, and tells how long to wait if it is one too many.
func (r *rates) exceeded(v Vault, now time.Time) time.Duration {
	if v.Rate == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.windows[v.Host]
	if now.Sub(w.begin) >= v.Rate.Window {
		w = window{begin: now}
	}
	if w.used++; w.used > v.Rate.Requests {
		return v.Rate.Window - now.Sub(w.begin)
	}
	if r.windows == nil {
		r.windows = map[string]window{}
	}
	r.windows[v.Host] = w
	return 0
}

// throttled answers 429; 0 sends no Retry-After.
func throttled(w http.ResponseWriter, wait time.Duration) {
	if wait > 0 {
		askToWait(w, wait)
	}
	vaultError{http.StatusTooManyRequests, "Throttled", "", "Request was not processed because too many requests were received."}.write(w)
}
