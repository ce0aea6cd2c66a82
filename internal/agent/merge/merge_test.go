package merge

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"twelvefold.dev/internal/metricsmerge"
)

const secret = "hunter2-must-not-be-logged"

func TestBrokenTargets(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, tc := range []struct {
		name   string
		target func(*http.Request) (*http.Response, error)
		reason string
	}{
		{"refused", func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
		}, "unreachable"},
		{"not http", func(*http.Request) (*http.Response, error) {
			return nil, errors.New("malformed HTTP response: " + secret)
		}, "unreachable"},
		{"status", func(r *http.Request) (*http.Response, error) {
			return response(r, 500, strings.NewReader(secret)), nil
		}, "status"},
		{"redirect to another host", func(r *http.Request) (*http.Response, error) {
			return response(r, 302, strings.NewReader(""), "Location", "http://evil.example/"+secret), nil
		}, "redirect"},
		{"redirect to another port", func(r *http.Request) (*http.Response, error) {
			return response(r, 302, strings.NewReader(""), "Location", "http://127.0.0.1:99/"), nil
		}, "redirect"},
		{"redirects for ever", func(r *http.Request) (*http.Response, error) {
			return response(r, 302, strings.NewReader(""), "Location", "/again"), nil
		}, "redirect"},
		{"html", reply("<p>"+secret, "Content-Type", "text/html"), "format"},
		{"protobuf", reply(secret, "Content-Type", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily"), "format"},
		{"brotli", reply(secret, "Content-Encoding", "br"), "format"},
		{"no gzip", reply(secret, "Content-Encoding", "gzip"), "format"},
		{"half of gzip", reply(zipped(secret + " 1\n")[:20], "Content-Encoding", "gzip"), "truncated"},
		{"broken gzip", reply(strings.Replace(zipped("x 1\n"), "\x00\x00\xff\xff", secret, 1)+secret, "Content-Encoding", "gzip"), "format"},
		{"broken connection", func(r *http.Request) (*http.Response, error) {
			return response(r, 200, io.MultiReader(strings.NewReader("x 1\n"), broken{io.ErrUnexpectedEOF})), nil
		}, "truncated"},
		{"reset", func(r *http.Request) (*http.Response, error) {
			return response(r, 200, broken{errors.New(secret)}), nil
		}, "unreachable"},
		{"json", reply(`{"password": "` + secret + `"}`), "malformed"},
		{"value", reply("x " + secret + "\n"), "malformed"},
		{"duplicate label", reply(`x{a="1",a="` + secret + "\"} 1\n"), "malformed"},
		{"UTF-8", reply("x{a=\"\xff\"} 1\n"), "malformed"},
		{"timestamp before 1970", reply("x 1 -1\n"), "malformed"},
		{"zero in a name", reply("{\"a\x00\"} 1\n"), "malformed"},
		{"exemplar in the text format", reply("x 1 # {} 1\n"), "malformed"},
		{"no end", reply("x 1\n", "Content-Type", "application/openmetrics-text; version=1.0.0"), "truncated"},
		{"after the end", reply("x 1\n# EOF\nx 2\n", "Content-Type", "application/openmetrics-text; version=1.0.0"), "malformed"},
		{"long line", reply("x{a=\"" + long + "\"} 1\n"), "too_large"},
		{"panic", func(*http.Request) (*http.Response, error) { panic(secret) }, "internal"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, log := newMerger(endpoints{"1": tc.target, "2": reply("x 1\n")})
			for n := 1; n <= 2; n++ {
				w := get(m)
				body := w.Body.String()
				wantLines(t, body, `x{twelvefold_source="b"} 1`, up("a", 0), up("b", 1), failures("a", tc.reason, n))
				if w.Code != http.StatusOK || strings.Contains(body, secret) || strings.Contains(body, `x{twelvefold_source="a"`) {
					t.Errorf("status %d:\n%s", w.Code, body)
				}
				parse(t, body)
			}
			if text := log.String(); strings.Count(text, "cannot scrape") != 1 || strings.Contains(text, secret) || !strings.Contains(text, `"reason":"`+tc.reason) {
				t.Errorf("log:\n%s", text)
			}
			if m.store.read != 0 || m.store.held != 0 {
				t.Errorf("still holds %d, %d bytes", m.store.read, m.store.held)
			}
		})
	}
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

func TestAllDownAndUpAgain(t *testing.T) {
	var works atomic.Bool
	target := func(r *http.Request) (*http.Response, error) {
		if works.Load() {
			return reply("x 1\n")(r)
		}
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	m, log := newMerger(endpoints{"1": target, "2": target})
	w := get(m)
	wantLines(t, w.Body.String(), up("a", 0), up("b", 0), `twelvefold_merge_target_samples{twelvefold_source="a"} 0`)
	if w.Code != http.StatusOK {
		t.Errorf("status %d", w.Code)
	}
	works.Store(true)
	wantLines(t, get(m).Body.String(), up("a", 1), up("b", 1), `twelvefold_merge_target_samples{twelvefold_source="a"} 1`, failures("a", "unreachable", 1))
	if text := log.String(); strings.Count(text, "can scrape again") != 2 || !strings.Contains(text, "connection refused") {
		t.Errorf("log:\n%s", text)
	}
}

// endless is a valid body of any length.
type endless struct {
	left int
	n    int
	rest []byte
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		if e.left <= 0 {
			return 0, io.EOF
		}
		e.rest = fmt.Appendf(nil, "http_requests_total{path=\"/api/v1/orders/%d\",code=\"200\"} %d\n", e.n, e.n*7919)
		e.left -= len(e.rest)
		e.n++
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func large(bytes int) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		return response(r, 200, &endless{left: bytes}), nil
	}
}

func TestHugeTargets(t *testing.T) {
	const patient = "120"
	m, _ := newMerger(endpoints{"1": large(1 << 40), "2": large(3 << 19), "3": reply("x 1\n")})
	m.store.limits.target, m.store.limits.plain = 2<<20, 1<<20
	body := get(m, timeoutHeader, patient).Body.String()
	wantLines(t, body, up("a", 0), up("b", 1), up("c", 1), failures("a", "too_large", 1), `x{twelvefold_source="c"} 1`,
		`http_requests_total{twelvefold_source="b",path="/api/v1/orders/20000",code="200"} 158380000`)
	parse(t, body)

	// All together have a limit, too; one of those over their share of it is left out.
	m, _ = newMerger(endpoints{"1": large(1 << 19), "2": large(1 << 19), "3": large(1 << 19), "4": reply("x 1\n")})
	m.store.limits.all = 5 << 18
	body = get(m, timeoutHeader, patient).Body.String()
	wantLines(t, body, up("d", 1))
	if n := strings.Count(body, `reason="too_large"`); n != 1 || m.store.read != 0 || m.store.held != 0 {
		t.Errorf("%d targets are too large, store holds %d, %d", n, m.store.read, m.store.held)
	}

	// Names cost more than they take in a body.
	m, _ = newMerger(endpoints{"1": func(r *http.Request) (*http.Response, error) {
		var b strings.Builder
		for i := range 100_000 {
			fmt.Fprintf(&b, "x%d 1\n", i)
		}
		return reply(b.String())(r)
	}, "2": reply("x 1\n")})
	wantLines(t, get(m).Body.String(), up("a", 0), up("b", 1), failures("a", "too_large", 1))
}

// What is held compressed comes out as what is held plain, also where families alternate.
func TestCompressedBlocks(t *testing.T) {
	var b strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&b, "family_%d{n=\"%d\"} %d\n", i%7, i, i)
	}
	in := []input{{"a", b.String(), text}, {"b", b.String(), text}}
	plain, packed := newStore(), newStore()
	packed.limits.plain = 0
	want, _, err := mergeAll(t, style{}, plain, in...)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := mergeAll(t, style{}, packed, in...)
	if err != nil || got != want || packed.held != 0 {
		t.Errorf("compressed blocks give something else: %v, %d bytes held", err, packed.held)
	}
}

func TestNegotiation(t *testing.T) {
	const prometheus3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
	for _, tc := range []struct{ accept, contentType, asked, line string }{
		{"", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", "text/plain;version=0.0.4;escaping=underscores;q=0.4,*/*;q=0.1", `a_b{twelvefold_source="a"} 1 2000`},
		{"text/html", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", "text/plain;version=0.0.4;escaping=underscores;q=0.4,*/*;q=0.1", `a_b{twelvefold_source="a"} 1 2000`},
		{"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6," + prometheus3,
			"application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
			"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
			`{"a.b",twelvefold_source="a"} 1 2.000`},
		{"text/plain;version=0.0.4;escaping=dots", "text/plain; version=0.0.4; charset=utf-8; escaping=dots", "text/plain;version=0.0.4;escaping=dots;q=0.4,*/*;q=0.1", `a_dot_b{twelvefold_source="a"} 1 2000`},
	} {
		var asked *http.Request
		m, _ := newMerger(endpoints{"1": func(r *http.Request) (*http.Response, error) {
			asked = r
			return reply("{\"a.b\"} 1 2000\n")(r)
		}})
		w := get(m, "Accept", tc.accept)
		if got := w.Header().Get("Content-Type"); got != tc.contentType {
			t.Errorf("%s: content type %s, want %s", tc.accept, got, tc.contentType)
		}
		if got := asked.Header.Get("Accept"); got != tc.asked {
			t.Errorf("%s: the target is asked for %s, want %s", tc.accept, got, tc.asked)
		}
		if got := asked.Header.Get("Accept-Encoding"); got != "identity" {
			t.Errorf("the target is asked for encoding %q", got)
		}
		wantLines(t, w.Body.String(), tc.line)
	}
}

func TestGzip(t *testing.T) {
	for accept, want := range map[string]bool{"": false, "identity": false, "gzip": true, "deflate, GZIP;q=0.5": true, "gzip;q=0": false, "br, gzip": true} {
		m, _ := newMerger(endpoints{"1": reply(zipped("x 1\n"), "Content-Encoding", "gzip")})
		for range 2 { // the second uses the writer again
			w := get(m, "Accept-Encoding", accept)
			var body io.Reader = w.Body
			if w.Header().Get("Content-Encoding") == "gzip" {
				z, err := gzip.NewReader(w.Body)
				if err != nil {
					t.Fatal(err)
				}
				body = z
			}
			text, err := io.ReadAll(body)
			if err != nil || (w.Header().Get("Content-Encoding") == "gzip") != want {
				t.Errorf("%q: gzip %t, %v", accept, !want, err)
			}
			wantLines(t, string(text), `x{twelvefold_source="a"} 1`)
		}
	}
}

// merged endpoints may be merges themselves.
func TestChain(t *testing.T) {
	inner, _ := newMerger(endpoints{"1": reply("x 1\n"), "2": reply("y 1\n")})
	outer, _ := newMerger(endpoints{"1": func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		inner.ServeHTTP(w, r)
		return w.Result(), nil
	}})
	for _, accept := range []string{"", "application/openmetrics-text;version=1.0.0"} {
		body := get(outer, "Accept", accept).Body.String()
		wantLines(t, body, `x{twelvefold_source="a",exported_twelvefold_source="a"} 1`, up("a", 1), `twelvefold_merge_target_up{twelvefold_source="a",exported_twelvefold_source="b"} 1`)
		if accept == "" {
			parse(t, body)
		} else {
			checkOpenMetrics(t, body)
		}
	}
}

// Over real connections, which are kept; a redirect on the same host is followed.
func TestServe(t *testing.T) {
	var connections atomic.Int32
	target := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/metrics", http.StatusFound)
			return
		}
		fmt.Fprint(w, "x 1\n")
	}))
	target.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	target.StartTLS()
	defer target.Close()
	at, err := url.Parse(target.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := New(metricsmerge.Plan{Targets: []metricsmerge.Target{{Source: "a", Port: int32(port), Path: "/", Scheme: "https"}}}, slog.New(slog.DiscardHandler), nil)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, listener) }()
	for range 3 {
		response, err := http.Get("http://" + listener.Addr().String() + metricsmerge.Path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		wantLines(t, string(body), `x{twelvefold_source="a"} 1`, up("a", 1))
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections to the target, want 1", n)
	}
	if response, err := http.Get("http://" + listener.Addr().String() + "/other"); err != nil || response.StatusCode != http.StatusNotFound {
		t.Errorf("%v, %v", response, err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
