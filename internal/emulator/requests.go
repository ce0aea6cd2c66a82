package emulator

import (
	"net/http"
	"slices"
	"sync"
)

// Request is a line of the request log. It has no headers, queries and bodies, so no token and no value.
type Request struct {
	Method   string `json:"method"`
	Host     string `json:"host"`
	Path     string `json:"path"`
	ClientID string `json:"clientID,omitempty"` // who asked, where a valid token or assertion said so
	Status   int    `json:"status,omitempty"`   // 0: the connection was broken instead, or there is no answer yet
}

type requestLog struct {
	mu      sync.Mutex
	entries []*Request
}

// Requests returns what was asked so far, oldest first.
func (e *Emulator) Requests() []Request {
	e.log.mu.Lock()
	defer e.log.mu.Unlock()
	out := make([]Request, len(e.log.entries))
	for i, r := range e.log.entries {
		out[i] = *r
	}
	return out
}

func (l *requestLog) begin(method, host, path string) *Request {
	entry := &Request{Method: method, Host: host, Path: path}
	l.mu.Lock()
	defer l.mu.Unlock()
	const kept = 10_000 // a load test must not fill the memory
	if len(l.entries) == kept {
		l.entries = slices.Delete(l.entries, 0, kept/10)
	}
	l.entries = append(l.entries, entry)
	return entry
}

// recorder notes the status and the client of an answer in the log.
type recorder struct {
	http.ResponseWriter
	log   *requestLog
	entry *Request
}

func (r *recorder) WriteHeader(status int) {
	r.log.mu.Lock()
	r.entry.Status = status
	r.log.mu.Unlock()
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.entry.Status == 0 { // written by this goroutine only
		r.WriteHeader(http.StatusOK)
	}
	return r.ResponseWriter.Write(p)
}

// identify notes who sent the request that w answers.
func identify(w http.ResponseWriter, clientID string) {
	if r, ok := w.(*recorder); ok {
		r.log.mu.Lock()
		r.entry.ClientID = clientID
		r.log.mu.Unlock()
	}
}
