package atomicdir

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"time"
)

// temporary is a link that is being made.
const temporary = "..link_tmp"

// generation are the names of the directories that hold sets.
var generation = regexp.MustCompile(`^\.\.[0-9]{4}(_[0-9]{2}){5}\.[0-9]{10}$`)

func newGeneration(now time.Time) string {
	return now.UTC().Format("..2006_01_02_15_04_05.") + fmt.Sprintf("%010d", rand.N(10_000_000_000))
}
