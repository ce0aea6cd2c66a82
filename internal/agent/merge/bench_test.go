package merge

import (
	"bytes"
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// exporter is a body of n samples in families of 100, in the names and labels of common exporters.
func exporter(n int) string {
	var b strings.Builder
	for i := range n {
		family := strconv.Itoa(i / 100)
		if i%100 == 0 {
			b.WriteString("# HELP http_server_requests_" + family + "_total Requests that the server answered, by path and code.\n")
			b.WriteString("# TYPE http_server_requests_" + family + "_total counter\n")
		}
		b.WriteString("http_server_requests_" + family + "_total{method=\"GET\",code=\"200\",path=\"/api/v1/orders/" + strconv.Itoa(i*7919%100_000) + "\"} " + strconv.Itoa(i*31) + "\n")
	}
	return b.String()
}

// heap reports how much memory is in use beyond the inputs while held is.
func heap(b *testing.B, before uint64, held any) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(int64(m.HeapAlloc)-int64(before))/(1<<20), "MiB-held")
	runtime.KeepAlive(held)
}

func heapBefore() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkMerge merges two targets that have 100,000 samples each.
func BenchmarkMerge(b *testing.B) {
	body := exporter(100_000)
	b.Run("lines", func(b *testing.B) {
		b.SetBytes(int64(2 * len(body)))
		b.ReportAllocs()
		before := heapBefore()
		for b.Loop() {
			if err := unite(style{}, readTwice(b, body)).write(io.Discard); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		heap(b, before, readTwice(b, body))
	})
	b.Run("expfmt", func(b *testing.B) {
		b.SetBytes(int64(2 * len(body)))
		b.ReportAllocs()
		before := heapBefore()
		for b.Loop() {
			families := libraryMerge(b, body)
			encoder := expfmt.NewEncoder(io.Discard, expfmt.FmtText)
			for _, f := range families {
				if err := encoder.Encode(f); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.StopTimer()
		heap(b, before, libraryMerge(b, body))
	})
}

func readTwice(b *testing.B, body string) (all []*exposition) {
	s := newStore()
	for _, source := range []string{"api", "worker"} {
		e, err := read(strings.NewReader(body), text, style{}, source, s)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// libraryMerge is what a merge on top of Prometheus' library would hold.
func libraryMerge(b *testing.B, body string) map[string]*dto.MetricFamily {
	all := map[string]*dto.MetricFamily{}
	for _, source := range []string{"api", "worker"} {
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader([]byte(body)))
		if err != nil {
			b.Fatal(err)
		}
		for name, f := range families {
			for _, m := range f.Metric {
				m.Label = append(m.Label, &dto.LabelPair{Name: new("twelvefold_source"), Value: &source})
			}
			if first := all[name]; first != nil {
				first.Metric = append(first.Metric, f.Metric...)
			} else {
				all[name] = f
			}
		}
	}
	return all
}
