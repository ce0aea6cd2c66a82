//go:build unix

package agent

import (
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"twelvefold.dev/internal/agent/tail"
)

// serveMetrics serves the counters of tail at /metrics until stop is called; port 0 serves none. A port that is taken costs
// the metrics only: the logs matter more.
func serveMetrics(port int, stats *tail.Stats, log *slog.Logger) (stop func()) {
	if port == 0 {
		return func() {}
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(port)))
	if err != nil {
		log.Warn("no metrics are served; give metricsPort a port that no container of the pod uses", "error", err.Error())
		return func() {}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		if err := stats.WriteMetrics(w); err != nil {
			log.Debug("a scrape broke off", "error", err.Error())
		}
	})
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 8 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // it ends with Close only
	}()
	return func() {
		_ = server.Close()
		<-done
	}
}
