package merge

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"

	"twelvefold.dev/internal/metricsmerge"
)

// reason is why a target gave nothing, as the counter of failures tells it.
type reason string

const (
	unreachable reason = "unreachable" // no connection, or it broke
	timeout     reason = "timeout"
	redirected  reason = "redirect"
	badStatus   reason = "status"
	badFormat   reason = "format"
	notMetrics  reason = "malformed"
	truncated   reason = "truncated"
	tooLarge    reason = "too_large"
	internal    reason = "internal"
)

// failure says in words of ours what went wrong: nothing of what the target sent is in it.
type failure struct {
	reason reason
	text   string
}

func (f *failure) Error() string { return f.text }

// target is one endpoint. It is scraped once at a time, whoever asks.
type target struct {
	metricsmerge.Target
	client *http.Client
	store  *store
	log    *slog.Logger

	mu       sync.Mutex
	flight   *flight
	failures map[reason]uint64
	state    string // what has been logged last
}

// flight is one scrape of a target, for all who ask while it lasts.
type flight struct {
	style   style
	started time.Time
	done    chan struct{}
	users   int // under the target's mu; the last one releases the exposition

	// To be read when done is closed.
	exposition *exposition
	failed     *failure
	elapsed    time.Duration
}

// result is what a scrape of a target gave to one of those who asked.
type result struct {
	exposition *exposition // nil: the target is down
	elapsed    time.Duration
	release    func()
}

// scrape returns what the target says, or that it is down when ctx ends. The request itself ends at the deadline, which
// is before that.
func (t *target) scrape(ctx context.Context, out style, deadline time.Time) result {
	asked := time.Now()
	for {
		f := t.join(ctx, out, deadline)
		select {
		case <-f.done:
		case <-ctx.Done():
			t.leave(f)
			return result{elapsed: time.Since(asked), release: func() {}}
		}
		if f.style != out { // somebody else's, who wanted another format
			t.leave(f)
			continue
		}
		if f.failed != nil {
			t.leave(f)
			return result{elapsed: f.elapsed, release: func() {}}
		}
		return result{exposition: f.exposition, elapsed: f.elapsed, release: func() { t.leave(f) }}
	}
}

// join returns the scrape that is under way, or begins one.
func (t *target) join(ctx context.Context, out style, deadline time.Time) *flight {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.flight; f != nil {
		f.users++
		return f
	}
	f := &flight{style: out, started: time.Now(), done: make(chan struct{}), users: 2} // the caller, and the scrape itself
	t.flight = f
	// It outlives the caller, for others may have joined; but not the program.
	run, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	go func() {
		defer cancel()
		e, err := t.fetch(run, out)
		t.land(f, e, err)
	}()
	return f
}

func (t *target) leave(f *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.leave()
}

func (f *flight) leave() {
	if f.users--; f.users == 0 && f.exposition != nil {
		f.exposition.release()
	}
}

func (t *target) land(f *flight, e *exposition, err error) {
	f.elapsed = time.Since(f.started)
	if f.exposition = e; err != nil && e != nil {
		e.release()
		f.exposition = nil
	}
	if err != nil {
		f.failed = failureOf(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flight = nil
	t.report(f.failed)
	f.leave()
	close(f.done)
}

// report counts the failure, and logs where it is another than last time.
func (t *target) report(failed *failure) {
	state := "up"
	if failed != nil {
		t.failures[failed.reason]++
		state = string(failed.reason)
	}
	if state == t.state || state == "up" && t.state == "" {
		return
	}
	t.state = state
	if failed != nil {
		t.log.Warn("cannot scrape", "source", t.Source, "port", t.Port, "reason", failed.reason, "error", failed.text)
	} else {
		t.log.Info("can scrape again", "source", t.Source, "port", t.Port)
	}
}

func failureOf(err error) *failure {
	var failed *failure
	var bad malformed
	var wire net.Error
	var refused *net.OpError
	switch {
	case errors.As(err, &failed):
		return failed
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &wire) && wire.Timeout():
		return &failure{timeout, "it did not answer within the scraper's timeout"}
	case errors.Is(err, errTooLarge):
		return &failure{tooLarge, err.Error()}
	case errors.Is(err, errTruncated):
		return &failure{truncated, err.Error()}
	case errors.As(err, &bad):
		return &failure{notMetrics, err.Error()}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &failure{truncated, "the connection ended within the answer"}
	case errors.As(err, &refused) && refused.Op == "dial":
		return &failure{unreachable, fmt.Sprintf("cannot connect: %v", refused.Err)}
	}
	return &failure{unreachable, "it does not answer as HTTP"} // the error itself may quote what it answered
}

// fetch asks the target. The exposition, if any, must be released.
func (t *target) fetch(ctx context.Context, out style) (e *exposition, err error) {
	defer func() {
		if p := recover(); p != nil { // its text might hold a part of the answer
			err = &failure{internal, fmt.Sprintf("a bug: panic with %T", p)}
		}
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept(out))
	request.Header.Set("Accept-Encoding", "identity") // on loopback packing costs the application more than it saves
	request.Header.Set("User-Agent", "twelvefold-merge")
	if deadline, ok := ctx.Deadline(); ok {
		request.Header.Set(timeoutHeader, strconv.FormatFloat(max(0, time.Until(deadline).Seconds()), 'f', 3, 64))
	}
	response, err := t.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	in, body, err := open(response)
	if err != nil {
		return nil, err
	}
	return read(body, in, out, t.Source, t.store)
}

// open judges the head of an answer, and returns the body's format and the body, unpacked.
func open(response *http.Response) (format, io.Reader, error) {
	switch code := response.StatusCode; {
	case code >= 300 && code < 400:
		return 0, nil, &failure{redirected, "it redirects to somewhere else"}
	case code != http.StatusOK:
		return 0, nil, &failure{badStatus, fmt.Sprintf("it answers with status %d", code)}
	}
	in := text
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case err == nil && media == "application/openmetrics-text":
		in = openMetrics
	case err == nil && (media == "application/vnd.google.protobuf" || media == "text/html"):
		return 0, nil, &failure{badFormat, "it answers neither in the text format nor in OpenMetrics"}
	}
	switch encoding := strings.ToLower(response.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		return in, response.Body, nil
	case "gzip":
		body, err := gzip.NewReader(response.Body)
		if err != nil {
			return 0, nil, gzipFailure(err)
		}
		return in, unzipped{body}, nil
	}
	return 0, nil, &failure{badFormat, "it answers in an encoding other than gzip"}
}

// unzipped tells broken gzip apart from a broken connection.
type unzipped struct{ *gzip.Reader }

func (u unzipped) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = gzipFailure(err)
	}
	return n, err
}

func gzipFailure(err error) error {
	var wire net.Error
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.As(err, &wire) {
		return err
	}
	return &failure{badFormat, "its gzip is broken"}
}

// accept asks for what the scraper asked for, in the words of Prometheus, so that targets answer as they would to it.
func accept(out style) string {
	escaping := ";escaping=" + out.escaping.String()
	plain := "text/plain;version=0.0.4" + escaping + ";q=0.4"
	if out.escaping == model.NoEscaping {
		plain = "text/plain;version=1.0.0" + escaping + ";q=0.4,text/plain;version=0.0.4;q=0.3"
	}
	if out.format == openMetrics {
		return "application/openmetrics-text;version=1.0.0" + escaping + ";q=0.6," + plain + ",*/*;q=0.1"
	}
	return plain + ",*/*;q=0.1"
}

// newClient connects to 127.0.0.1 only, wherever a target redirects to.
func newClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: transport,
		CheckRedirect: func(next *http.Request, earlier []*http.Request) error {
			if first := earlier[0].URL; len(earlier) > 3 || next.URL.Host != first.Host || next.URL.Scheme != first.Scheme {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}
