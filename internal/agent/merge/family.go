package merge

import (
	"strings"

	"github.com/prometheus/common/model"
)

// format is how metrics are written.
type format uint8

const (
	text format = iota
	openMetrics
)

// style is what a scraper asked for. All lines are kept in the style in which they will be served.
type style struct {
	format   format
	escaping model.EscapingScheme
}

// escape brings a name into the form in which it is served.
func (s style) escape(name string, colons bool) string {
	if s.escaping == model.NoEscaping || isPlain(name, colons) {
		return name
	}
	name = model.EscapeName(name, s.escaping)
	if !colons {
		name = strings.ReplaceAll(name, ":", "_") // which EscapeName leaves in labels
	}
	return name
}

type kind uint8

const (
	untyped kind = iota
	gauge
	counter
	histogram
	summary
	gaugeHistogram
	info
	stateSet
)

// kindOf reads the word of a TYPE line. What it doesn't know it takes for untyped: then the samples are served still.
func kindOf(word string, in format) kind {
	switch strings.ToLower(word) {
	case "gauge":
		return gauge
	case "counter":
		return counter
	case "histogram":
		return histogram
	case "summary":
		return summary
	}
	if in == openMetrics {
		switch word {
		case "gaugehistogram":
			return gaugeHistogram
		case "info":
			return info
		case "stateset":
			return stateSet
		}
	}
	return untyped
}

func (k kind) word(out format) string {
	switch k {
	case gauge:
		return "gauge"
	case counter:
		return "counter"
	case histogram:
		return "histogram"
	case summary:
		return "summary"
	case gaugeHistogram:
		return "gaugehistogram"
	case info:
		return "info"
	case stateSet:
		return "stateset"
	}
	if out == openMetrics {
		return "unknown"
	}
	return "untyped"
}

// suffixes are those that the names of a family's samples may have.
func (k kind) suffixes(in format) []string {
	switch {
	case k == histogram && in == text:
		return []string{"_bucket", "_count", "_sum"}
	case k == summary && in == text:
		return []string{"_count", "_sum"}
	case in == text:
		return nil
	}
	switch k {
	case counter:
		return []string{"_total", "_created"}
	case histogram:
		return []string{"_bucket", "_count", "_sum", "_created"}
	case summary:
		return []string{"_count", "_sum", "_created"}
	case gaugeHistogram:
		return []string{"_bucket", "_gcount", "_gsum"}
	case info:
		return []string{"_info"}
	}
	return nil
}

// exact reports whether samples may have the name of their family.
func (k kind) exact(in format) bool {
	switch k {
	case histogram, gaugeHistogram:
		return false
	case counter, info:
		return in == text
	}
	return true
}

// meta is what a target says of a family.
type meta struct {
	kind       kind
	help, unit string
	owns       bool // it is typed or has samples of its own name
}

// family is the samples of one target that are served under one TYPE line.
type family struct {
	name    string
	kind    kind
	meta    *meta
	samples []string // the names of its samples
	loose   bool     // it has samples that its type has no room for
	spans   []span
}

// place is where samples of one name go.
type place struct {
	family *family
	name   string
	suffix string
	head   []byte // the beginning of the line, up to its labels
	open   bool   // head ends with the brace
}

// put says under which names a sample is served, and in a family of which kind.
func (s style) put(in format, base, suffix string, k kind) (sample, family string, out kind) {
	sample = s.escape(base+suffix, true)
	switch k {
	case counter:
		return s.putCounter(in, base, suffix)
	case histogram, summary:
		family = s.escape(base, true)
		if sample = family + suffix; suffix == "_created" && s.format == text {
			return sample, sample, gauge
		}
		return sample, family, k
	case gaugeHistogram:
		if family = s.escape(base, true); s.format == openMetrics {
			return family + suffix, family, k
		}
		return family + suffix, family + suffix, untyped
	case info:
		if s.format == openMetrics {
			return sample, strings.TrimSuffix(sample, suffix), k
		}
		return sample, sample, gauge
	case stateSet:
		if s.format == text {
			return sample, sample, gauge
		}
	}
	return sample, sample, k
}

// putCounter knows that a counter's family is called like its samples in the text format, and in OpenMetrics without
// their _total.
func (s style) putCounter(in format, base, suffix string) (sample, family string, out kind) {
	if in == text {
		sample = s.escape(base, true)
		if family = strings.TrimSuffix(sample, "_total"); s.format == text {
			return sample, sample, counter
		} else if family == sample || family == "" {
			return sample, sample, untyped
		}
		return sample, family, counter
	}
	total := s.escape(base+"_total", true)
	family = strings.TrimSuffix(total, "_total")
	switch {
	case suffix == "_created" && s.format == text:
		return family + suffix, family + suffix, gauge
	case suffix == "_created":
		return family + suffix, family, counter
	case suffix == "": // of no use in OpenMetrics, but it happens
		sample = s.escape(base, true)
		return sample, sample, counter
	case s.format == text:
		return total, total, counter
	}
	return total, family, counter
}
