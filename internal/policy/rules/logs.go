package rules

import (
	"fmt"
	"strings"

	"twelvefold.dev/internal/logs"
	"twelvefold.dev/internal/policy"
)

// logSignals reports the signals of a kind that are not mended. What is not certain never denies.
func logSignals(s *Subject, kind logs.Kind, report func(c Container, signal logs.Signal, v Violation)) {
	mended := logs.Mended(s.Pod)
	for _, c := range s.Containers(Init, Sidecar, Main) {
		for _, signal := range logs.Signals(s.Pod, c.Container) {
			if signal.Kind != kind || signal.Streams(mended[c.Name]) {
				continue
			}
			v := c.At(signal.Field, signal.Seen, signal.Instead)
			switch signal.Confidence {
			case logs.Likely:
				v.Max = policy.Warn
			case logs.Hint:
				v.Max = policy.Audit
			}
			if s.applyLogMode(signal, &v) {
				report(c, signal, v)
			}
		}
	}
}

// applyLogMode lets the policy's mode for logs, or for the signal, bound what the violation does. It is false where the
// signal is off.
func (s *Subject) applyLogMode(signal logs.Signal, v *Violation) bool {
	switch s.Policy.LogMode(signal.Name) {
	case "off":
		return false
	case "audit":
		v.Max = policy.Audit
	case "warn":
		if v.Max == policy.Off {
			v.Max = policy.Warn
		}
	case "deny":
		if signal.Confidence == logs.Certain {
			levels := policy.At(policy.Deny)
			v.Levels = &levels
		}
	}
	return true
}

// orStream adds to a fix how to stream the file instead. That doesn't help against a node's directory, nor on Windows.
func orStream(c Container, signal logs.Signal, fix string) string {
	if !strings.HasPrefix(signal.Path, "/") || signal.HostPath != "" || c.Kind == Init {
		return fix
	}
	return fmt.Sprintf("%s, or have the file streamed: annotation twelvefold.dev/log-files: %q", fix, c.Name+":"+signal.Path)
}
