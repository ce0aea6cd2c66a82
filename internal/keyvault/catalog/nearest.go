package catalog

import "strings"

// nearest is the name that somebody probably meant: a slip of the pen away from the wanted one, or cut off at its end. Of several
// it is the one with the fewest changes, then the first by alphabet. Names are in lower case.
func nearest(wanted string, names func(yield func(string) bool)) string {
	const cutOff = 4 // costs more than any slip
	most := min(1+len(wanted)/4, cutOff-1)
	best, bestCost := "", cutOff+1
	for name := range names {
		cost := distance(wanted, name, min(most, bestCost))
		if cost > most && min(len(wanted), len(name)) >= 4 && (strings.HasPrefix(name, wanted) || strings.HasPrefix(wanted, name)) {
			cost = cutOff
		} else if cost > most {
			continue
		}
		if cost < bestCost || cost == bestCost && name < best {
			best, bestCost = name, cost
		}
	}
	return best
}

// distance counts the letters to change, add or leave out to make b of a, after Levenshtein. It gives up at more than most.
func distance(a, b string, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most {
		return most + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal, least := row[0], i+1
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
			least = min(least, row[j+1])
		}
		if least > most {
			return most + 1
		}
	}
	return row[len(b)]
}
