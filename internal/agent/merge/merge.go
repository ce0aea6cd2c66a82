// Package merge serves the metrics of several endpoints of a pod as one.
//
// It is what the native sidecar twelvefold-merge does. A scrape of it is a scrape of all its targets at once: what they
// answer in time is served, each sample with a label for its source, each family with one HELP and TYPE line. It keeps
// nothing from one scrape to the next, and during one no more than fits into the container's memory: lines are rewritten
// as they are read, and kept compressed where there are many.
package merge

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/expfmt"

	"twelvefold.dev/internal/metricsmerge"
)

const (
	timeoutHeader  = "X-Prometheus-Scrape-Timeout-Seconds"
	defaultTimeout = 10 * time.Second
	maxTimeout     = 2 * time.Minute
	maxScrapes     = 8 // at a time
)

// Merger is the handler of [metricsmerge.Path].
type Merger struct {
	targets []*target
	store   *store
	log     *slog.Logger
	slots   chan struct{}
	zips    sync.Pool
}

// New returns the handler for a valid plan. A nil transport is one that is fit for endpoints on 127.0.0.1.
func New(plan metricsmerge.Plan, log *slog.Logger, transport http.RoundTripper) *Merger {
	if transport == nil {
		transport = &http.Transport{
			DialContext:            (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:        &tls.Config{InsecureSkipVerify: true}, // within the pod, and no certificate names 127.0.0.1
			DisableCompression:     true,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        5 * time.Minute,
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	m := &Merger{store: &store{limits: defaultLimits, shares: int64(len(plan.Targets))}, log: log, slots: make(chan struct{}, maxScrapes)}
	client := newClient(transport)
	for _, t := range plan.Targets {
		m.targets = append(m.targets, &target{Target: t, client: client, store: m.store, log: log, failures: map[reason]uint64{}})
	}
	return m
}

// Serve answers at the listener until ctx ends; then it stops at once. It closes the listener.
func (m *Merger) Serve(ctx context.Context, listener net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET "+metricsmerge.Path, m)
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // it quotes what clients send
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	}
	return nil
}

func (m *Merger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { // its text might hold a part of an answer
			m.log.Error("internal error", "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			panic(http.ErrAbortHandler)
		}
	}()
	select {
	case m.slots <- struct{}{}:
		defer func() { <-m.slots }()
	default:
		http.Error(w, fmt.Sprintf("%d scrapes are under way", maxScrapes), http.StatusServiceUnavailable)
		return
	}
	started := time.Now()
	whole := scrapeTimeout(r.Header.Get(timeoutHeader))
	margin := min(500*time.Millisecond, whole/4)
	// The scrapers of targets end first, then what they have is served; nobody listens after the whole timeout.
	_ = http.NewResponseController(w).SetWriteDeadline(started.Add(whole))
	ctx, cancel := context.WithDeadline(r.Context(), started.Add(whole-margin/2))
	defer cancel()
	contentType := expfmt.NegotiateAccept(r.Header, expfmt.FmtOpenMetrics_1_0_0, expfmt.FmtText)
	out := style{escaping: contentType.ToEscapingScheme()}
	if contentType.FormatType() == expfmt.TypeOpenMetrics {
		out.format = openMetrics
	}
	results := m.scrape(ctx, out, started.Add(whole-margin))
	defer func() {
		for _, r := range results {
			r.release()
		}
	}()
	w.Header().Set("Content-Type", string(contentType))
	if err := m.answer(w, r, out, results); err != nil {
		panic(http.ErrAbortHandler) // so that the scraper doesn't take a part for the whole
	}
}

// scrapeTimeout reads how long the scraper waits.
func scrapeTimeout(header string) time.Duration {
	seconds, err := strconv.ParseFloat(header, 64)
	if err != nil || !(seconds > 0) || math.IsInf(seconds, 1) {
		return defaultTimeout
	}
	return max(time.Millisecond, time.Duration(min(seconds, maxTimeout.Seconds())*float64(time.Second)))
}

// scrape asks all targets at the same time.
func (m *Merger) scrape(ctx context.Context, out style, deadline time.Time) []result {
	results := make([]result, len(m.targets))
	var all sync.WaitGroup
	for i, t := range m.targets {
		all.Go(func() { results[i] = t.scrape(ctx, out, deadline) })
	}
	all.Wait()
	return results
}

func (m *Merger) answer(w http.ResponseWriter, r *http.Request, out style, results []result) error {
	var expositions []*exposition
	for _, r := range results {
		if r.exposition != nil {
			expositions = append(expositions, r.exposition)
		}
	}
	own, err := m.own(out, results, unite(out, expositions).conflicts())
	if own != nil {
		defer own.release()
	}
	if err != nil {
		return err
	}
	var body io.Writer = w
	w.Header().Set("Vary", "Accept, Accept-Encoding")
	if acceptsGzip(r.Header) {
		w.Header().Set("Content-Encoding", "gzip")
		z, _ := m.zips.Get().(*gzip.Writer)
		if z == nil {
			if z, err = gzip.NewWriterLevel(nil, gzip.BestSpeed); err != nil {
				return err
			}
		}
		defer m.zips.Put(z)
		z.Reset(w)
		body = z
	}
	if err := unite(out, append(expositions, own)).write(body); err != nil {
		return err
	}
	if z, ok := body.(*gzip.Writer); ok {
		return z.Close()
	}
	return nil
}

func acceptsGzip(h http.Header) bool {
	for _, list := range h.Values("Accept-Encoding") {
		for item := range strings.SplitSeq(list, ",") {
			name, params, _ := strings.Cut(item, ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") {
				q, hasQ := strings.CutPrefix(strings.TrimSpace(params), "q=")
				n, err := strconv.ParseFloat(q, 64)
				return !hasQ || err == nil && n > 0
			}
		}
	}
	return false
}

// own is what merge says of its targets.
func (m *Merger) own(out style, results []result, conflicts int) (*exposition, error) {
	var up, duration, samples, failures strings.Builder
	for i, t := range m.targets {
		source := string(appendQuoted([]byte(metricsmerge.SourceLabel+"="), t.Source))
		isUp, n := 0, 0
		if e := results[i].exposition; e != nil {
			isUp, n = 1, e.samples
		}
		fmt.Fprintf(&up, "twelvefold_merge_target_up{%s} %d\n", source, isUp)
		fmt.Fprintf(&duration, "twelvefold_merge_target_duration_seconds{%s} %g\n", source, results[i].elapsed.Seconds())
		fmt.Fprintf(&samples, "twelvefold_merge_target_samples{%s} %d\n", source, n)
		for _, f := range t.failed() {
			fmt.Fprintf(&failures, "twelvefold_merge_target_failures_total{%s,reason=\"%s\"} %d\n", source, f.reason, f.count)
		}
	}
	body := `# HELP twelvefold_merge_target_up Whether the endpoint gave its metrics in time.
# TYPE twelvefold_merge_target_up gauge
` + up.String() + `# HELP twelvefold_merge_target_duration_seconds How long the endpoint took, or was waited for.
# TYPE twelvefold_merge_target_duration_seconds gauge
` + duration.String() + `# HELP twelvefold_merge_target_samples How many samples the endpoint gave.
# TYPE twelvefold_merge_target_samples gauge
` + samples.String() + `# HELP twelvefold_merge_target_failures_total Scrapes of the endpoint that gave nothing, by reason.
# TYPE twelvefold_merge_target_failures_total counter
` + failures.String() + `# HELP twelvefold_merge_untyped_families Metrics served without a type, because endpoints disagree on it or it does not fit the samples.
# TYPE twelvefold_merge_untyped_families gauge
twelvefold_merge_untyped_families ` + strconv.Itoa(conflicts) + "\n"
	unbounded := limits{target: math.MaxInt64, all: math.MaxInt64, plain: math.MaxInt64, held: math.MaxInt64}
	return read(strings.NewReader(body), text, out, "", &store{limits: unbounded})
}

type failureCount struct {
	reason reason
	count  uint64
}

// failed lists the failures so far.
func (t *target) failed() []failureCount {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []failureCount
	for r, n := range t.failures {
		out = append(out, failureCount{r, n})
	}
	slices.SortFunc(out, func(a, b failureCount) int { return strings.Compare(string(a.reason), string(b.reason)) })
	return out
}
