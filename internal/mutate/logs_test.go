package mutate_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"twelvefold.dev/internal/logs"
	"twelvefold.dev/internal/review/reviewtest"
)

// Every signal has a fixture that shows how it is repaired, or why not; the lines of two are on stdout already.
func TestEverySignalHasARepairFixture(t *testing.T) {
	var all strings.Builder
	for _, file := range reviewtest.Files(t, "testdata/logs/*/out.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	for _, name := range logs.SignalNames {
		if !slices.Contains([]string{"klog-also", "tee"}, name) && !strings.Contains(all.String(), name) {
			t.Errorf("no fixture repairs %s", name)
		}
	}
}
