package emulator

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault is a failure to play instead of an answer. Delay goes with any other, and alone means slow.
type Fault struct {
	Path       string        `json:"path,omitempty"`       // only requests whose path begins so
	Delay      time.Duration `json:"delay,omitempty"`      // nanoseconds in JSON
	Down       bool          `json:"down,omitempty"`       // reset the connection without an answer
	Status     int           `json:"status,omitempty"`     // 429, 500, 503, …
	Body       string        `json:"body,omitempty"`       // with Status; default is an error in Key Vault's JSON
	RetryAfter time.Duration `json:"retryAfter,omitempty"` // sent in whole seconds, rounded up; 0 sends no header
	Times      int           `json:"times,omitempty"`      // how often; 0 until Heal
}

type faults struct {
	mu     sync.Mutex
	byHost map[string][]Fault
}

// Fail adds a fault to a host. The first one that matches a request is played.
func (e *Emulator) Fail(host string, f Fault) {
	e.faults.mu.Lock()
	defer e.faults.mu.Unlock()
	if e.faults.byHost == nil {
		e.faults.byHost = map[string][]Fault{}
	}
	if f.Times == 0 {
		f.Times = -1
	}
	e.faults.byHost[host] = append(e.faults.byHost[host], f)
}

// Heal removes all faults of a host.
func (e *Emulator) Heal(host string) {
	e.faults.mu.Lock()
	defer e.faults.mu.Unlock()
	delete(e.faults.byHost, host)
}

// next finds the fault for a request and counts it.
func (fs *faults) next(host, path string) (Fault, bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for i := range fs.byHost[host] {
		f := &fs.byHost[host][i]
		if f.Times != 0 && strings.HasPrefix(path, f.Path) {
			if f.Times > 0 {
				f.Times--
			}
			return *f, true
		}
	}
	return Fault{}, false
}

// injectFault plays the host's fault, if it has one, and reports whether that was the answer. It panics with
// [http.ErrAbortHandler], net/http's way to end a handler without an answer, where there is none to give.
func (e *Emulator) injectFault(w http.ResponseWriter, r *http.Request, host string) bool {
	f, ok := e.faults.next(host, r.URL.Path)
	if !ok {
		return false
	}
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done(): // an answer could still overtake the end of the client's connection
			panic(http.ErrAbortHandler)
		case <-e.done:
			panic(http.ErrAbortHandler)
		}
	}
	if f.Down {
		reset(r)
	}
	if f.Status == 0 {
		return false
	}
	if f.RetryAfter > 0 {
		askToWait(w, f.RetryAfter)
	}
	switch {
	case f.Body != "":
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(f.Status)
		io.WriteString(w, f.Body)
	case f.Status == http.StatusTooManyRequests:
		throttled(w, f.RetryAfter)
	default:
		vaultError{f.Status, http.StatusText(f.Status), "", fmt.Sprintf("The emulator was told to answer %d.", f.Status)}.write(w)
	}
	return true
}

// askToWait sends whole seconds, rounded up.
func askToWait(w http.ResponseWriter, d time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int((d+time.Second-1)/time.Second)))
}

type connKey struct{}

// rememberConn keeps a request's connection in its context.
func rememberConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// reset breaks the connection of a request as a machine does that went down, whatever else runs over it. It does not return.
func reset(r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(*tls.Conn); ok {
		if tunnel, ok := c.NetConn().(tunnelConn); ok {
			if tcp, ok := tunnel.Conn.(*net.TCPConn); ok {
				tcp.SetLinger(0) // RST, not FIN
			}
			tunnel.Close()
		}
	}
	panic(http.ErrAbortHandler)
}
