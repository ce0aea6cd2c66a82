package tail

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
)

// Stats counts what a [Run] has done. It may be read at any time.
type Stats struct {
	Counters              // of all files
	Deleted  atomic.Int64 // rotated files deleted
	Open     atomic.Int64 // files that are open

	entries atomic.Pointer[[]*stream]
}

// Counters count what was done with some files.
type Counters struct {
	Lines       atomic.Int64 // lines written to stdout
	Bytes       atomic.Int64 // bytes of the files written to stdout, without envelopes
	Truncations atomic.Int64 // times that a file was found truncated or written anew
	Lag         atomic.Int64 // bytes in the files that stdout hasn't got yet
}

var perFile = []struct {
	name, kind, help string
	value            func(*Counters) *atomic.Int64
}{
	{"lines_total", "counter", "Lines written to stdout.", func(c *Counters) *atomic.Int64 { return &c.Lines }},
	{"bytes_total", "counter", "Bytes of the log written to stdout.", func(c *Counters) *atomic.Int64 { return &c.Bytes }},
	{"truncations_total", "counter", "Times that the log was found truncated.", func(c *Counters) *atomic.Int64 { return &c.Truncations }},
	{"lag_bytes", "gauge", "Bytes of the log that stdout has not got yet.", func(c *Counters) *atomic.Int64 { return &c.Lag }},
}

// WriteMetrics writes the counters in Prometheus's text format, those of a file for every entry of the plan: a glob is one
// file there, however many logs it matches.
func (s *Stats) WriteMetrics(w io.Writer) error {
	b := bufio.NewWriter(w)
	head := func(name, kind, help string) {
		fmt.Fprintf(b, "# HELP twelvefold_tail_%[1]s %[3]s\n# TYPE twelvefold_tail_%[1]s %[2]s\n", name, kind, help)
	}
	for _, m := range perFile {
		head(m.name, m.kind, m.help)
		if entries := s.entries.Load(); entries != nil {
			for _, e := range *entries {
				fmt.Fprintf(b, "twelvefold_tail_%s{file=\"%s\",log_container=\"%s\"} %d\n",
					m.name, label(e.plan.Path), label(e.plan.Container), m.value(e.stats).Load())
			}
		}
	}
	head("deleted_files_total", "counter", "Rotated files deleted to bound the disk.")
	fmt.Fprintf(b, "twelvefold_tail_deleted_files_total %d\n", s.Deleted.Load())
	head("open_files", "gauge", "Files that are open.")
	fmt.Fprintf(b, "twelvefold_tail_open_files %d\n", s.Open.Load())
	return b.Flush()
}

// label escapes a label's value.
func label(value string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(value, "\ufffd"))
}
