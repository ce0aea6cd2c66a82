package tail_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"twelvefold.dev/internal/agent/tail"
)

// BenchmarkThroughput compares Run, which writes every record by itself, with a bare loop of reads and writes that
// moves the same file to the same pipe.
func BenchmarkThroughput(b *testing.B) {
	dir := b.TempDir()
	path := filepath.Join(dir, "app.log")
	line := "2026-11-23T18:57:01.123Z INFO [http-nio-8080-exec-1] com.example.shop.Checkout - order 4711 placed in 12 ms " + strings.Repeat("x", 80) + "\n"
	text := strings.Repeat(line, 100_000)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	stopped, cancel := context.WithCancel(b.Context())
	cancel()
	run := func(names ...string) func(io.Writer) error {
		return func(w io.Writer) error { // the application has ended: one drain reads all
			return tail.Run(stopped, planOf(dir, names...), w, slog.New(slog.DiscardHandler), tail.Options{})
		}
	}
	for _, c := range []struct {
		name string
		move func(io.Writer) error
	}{
		{"bare", func(w io.Writer) error {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{f}, make([]byte, 32<<10))
			return err
		}},
		{"raw", run("app.log")},
		{"envelope", run("app.log", "other.log")},
	} {
		b.Run(c.name, func(b *testing.B) {
			r, w, err := os.Pipe()
			if err != nil {
				b.Fatal(err)
			}
			var n int64
			done := make(chan struct{})
			go func() {
				defer close(done)
				n, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, make([]byte, 32<<10))
			}()
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.move(w); err != nil {
					b.Fatal(err)
				}
			}
			w.Close()
			<-done
			if n < int64(len(text)) {
				b.Fatalf("%d bytes came through the pipe", n)
			}
		})
	}
}
