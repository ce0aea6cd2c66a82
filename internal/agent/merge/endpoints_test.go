package merge

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"twelvefold.dev/internal/metricsmerge"
)

// endpoints is a transport whose targets are functions, by port.
type endpoints map[string]func(*http.Request) (*http.Response, error)

func (e endpoints) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Hostname() != "127.0.0.1" {
		panic("asks " + r.URL.Host)
	}
	return e[r.URL.Port()](r)
}

func reply(body string, headers ...string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		return response(r, http.StatusOK, strings.NewReader(body), headers...), nil
	}
}

func response(r *http.Request, status int, body io.Reader, headers ...string) *http.Response {
	h := http.Header{"Content-Type": {"text/plain; version=0.0.4"}}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(body), Request: r}
}

// hanging answers when the request ends.
func hanging(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, &url.Error{Op: "Get", URL: r.URL.String(), Err: r.Context().Err()}
}

// logBuffer may be written to by several goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newMerger merges targets called a, b, c … at the ports 1, 2, 3 …
func newMerger(e endpoints) (*Merger, *logBuffer) {
	plan := metricsmerge.Plan{Port: 9464}
	for i := range len(e) {
		plan.Targets = append(plan.Targets, metricsmerge.Target{Source: string(rune('a' + i)), Port: int32(i + 1), Path: "/metrics?token=" + secret})
	}
	log := &logBuffer{}
	return New(plan, slog.New(slog.NewJSONHandler(log, nil)), e), log
}

func get(h http.Handler, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func wantLines(t *testing.T, body string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+body, "\n"+line+"\n") {
			t.Errorf("no line %s in\n%s", line, body)
		}
	}
}

func up(source string, n int) string {
	return fmt.Sprintf(`twelvefold_merge_target_up{twelvefold_source="%s"} %d`, source, n)
}

func failures(source, reason string, n int) string {
	return fmt.Sprintf(`twelvefold_merge_target_failures_total{twelvefold_source="%s",reason="%s"} %d`, source, reason, n)
}

func zipped(body string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(body))
	z.Close()
	return b.String()
}
