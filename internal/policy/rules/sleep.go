package rules

import (
	"math"
	"slices"
	"strconv"

	"twelvefold.dev/internal/shell"
)

// sleeps is for how many seconds a sleep command sleeps: +Inf for infinity. ok is false for other commands, for those
// behind timeout, and for times that only the running container knows.
func sleeps(command shell.Command) (seconds float64, ok bool) {
	if command.Name() != "sleep" || len(command.Args()) == 0 || command.Bounded {
		return 0, false
	}
	for _, arg := range command.Args() { // sleep adds them up
		s, ok := duration(arg)
		if !ok {
			return 0, false
		}
		seconds += s
	}
	return seconds, true
}

var units = map[byte]float64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400}

func duration(text string) (seconds float64, ok bool) {
	if slices.Contains([]string{"infinity", "inf"}, text) {
		return math.Inf(1), true
	}
	if text == "" {
		return 0, false
	}
	unit, found := units[text[len(text)-1]]
	if found {
		text = text[:len(text)-1]
	} else {
		unit = 1
	}
	n, err := strconv.ParseFloat(text, 64)
	return n * unit, err == nil && n >= 0
}
