package secretscan

import "slices"

// Patterns are those of secrets that are certain by themselves, whatever the name beside them, for who looks for them with
// regular expressions alone. A text without one of the hints matches none of them; one that holds anything of fillIns may
// hold a placeholder.
func Patterns() (patterns, hints, fillIns []string) {
	for _, d := range detectors {
		if !slices.Contains(forVisitors, d.kind) {
			patterns, hints = append(patterns, d.pattern.String()), append(hints, d.hints...)
		}
	}
	return patterns, hints, slices.Clone(fillInHints)
}
