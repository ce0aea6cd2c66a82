package merge

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestSlowTargetDoesNotDelayTheRest(t *testing.T) {
	for header, longest := range map[string]time.Duration{"": 10 * time.Second, "4": 4 * time.Second, "0.2": 200 * time.Millisecond, "NaN": 10 * time.Second, "-1": 10 * time.Second, "1e300": maxTimeout} {
		synctest.Test(t, func(t *testing.T) {
			var told string
			m, log := newMerger(endpoints{"1": hanging, "2": func(r *http.Request) (*http.Response, error) {
				told = r.Header.Get(timeoutHeader)
				return reply("x 1\n")(r)
			}})
			started := time.Now()
			w := get(m, timeoutHeader, header)
			took := time.Since(started)
			if took >= longest || took < longest*3/4 {
				t.Errorf("timeout %q: took %s, want a bit less than %s", header, took, longest)
			}
			if seconds, err := strconv.ParseFloat(told, 64); err != nil || seconds >= longest.Seconds() || seconds <= 0 {
				t.Errorf("timeout %q: the target is told %q", header, told)
			}
			wantLines(t, w.Body.String(), `x{twelvefold_source="b"} 1`, up("a", 0), up("b", 1), failures("a", "timeout", 1),
				fmt.Sprintf(`twelvefold_merge_target_duration_seconds{twelvefold_source="a"} %g`, took.Seconds()),
				`twelvefold_merge_target_duration_seconds{twelvefold_source="b"} 0`)
			if w.Code != http.StatusOK || strings.Contains(log.String(), secret) {
				t.Errorf("status %d, log %s", w.Code, log)
			}
		})
	}
}

func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newMerger(endpoints{"1": func(r *http.Request) (*http.Response, error) {
			return response(r, 200, io.MultiReader(strings.NewReader("early 1\n"), untilDone{r.Context()})), nil
		}, "2": reply("x 1\n")})
		w := get(m, timeoutHeader, "1")
		wantLines(t, w.Body.String(), `x{twelvefold_source="b"} 1`, up("a", 0), failures("a", "timeout", 1))
		if strings.Contains(w.Body.String(), "early") {
			t.Error("serves a part of an answer")
		}
	})
}

type untilDone struct{ ctx context.Context }

func (u untilDone) Read([]byte) (int, error) {
	<-u.ctx.Done()
	return 0, u.ctx.Err()
}

// Two scrapers that ask at the same time share a scrape of the targets; one that wants another format waits for its turn.
func TestConcurrentScrapes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked, now, most atomic.Int32
		m, _ := newMerger(endpoints{"1": func(r *http.Request) (*http.Response, error) {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			asked.Add(1)
			time.Sleep(time.Second)
			if strings.Contains(r.Header.Get("Accept"), "openmetrics") {
				return reply("x 1\n# EOF\n", "Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")(r)
			}
			return reply("x 1\n")(r)
		}})
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				body := ""
				if i%2 == 0 {
					body = get(m).Body.String()
				} else {
					body = get(m, "Accept", "application/openmetrics-text;version=1.0.0").Body.String()
					wantLines(t, body, "# EOF")
				}
				wantLines(t, body, `x{twelvefold_source="a"} 1`, up("a", 1))
			})
		}
		all.Wait()
		if asked.Load() != 2 || most.Load() != 1 {
			t.Errorf("the target was asked %d times, %d at a time; want 2, 1", asked.Load(), most.Load())
		}
		if m.store.read != 0 || m.store.held != 0 {
			t.Errorf("still holds %d, %d bytes", m.store.read, m.store.held)
		}
	})
}

// A scraper that goes away or waits for less takes nothing from the others.
func TestScraperLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newMerger(endpoints{"1": func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(2 * time.Second):
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
			return reply("x 1\n")(r)
		}})
		var all sync.WaitGroup
		ctx, leave := context.WithCancel(t.Context())
		all.Go(func() {
			m.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil))
		})
		synctest.Wait()
		all.Go(func() { wantLines(t, get(m).Body.String(), up("a", 1)) })
		all.Go(func() { wantLines(t, get(m, timeoutHeader, "1").Body.String(), up("a", 0)) })
		synctest.Wait()
		leave()
		all.Wait()
		if m.store.read != 0 || m.store.held != 0 {
			t.Errorf("still holds %d, %d bytes", m.store.read, m.store.held)
		}
	})
}

func TestTooManyScrapes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newMerger(endpoints{"1": hanging})
		var all sync.WaitGroup
		for range maxScrapes {
			all.Go(func() { get(m) })
		}
		synctest.Wait()
		if w := get(m); w.Code != http.StatusServiceUnavailable {
			t.Errorf("status %d", w.Code)
		}
		all.Wait()
	})
}
