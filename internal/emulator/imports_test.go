package emulator_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The emulator trusts whoever asks, so no binary that ships to a cluster may hold it.
func TestShippedBinariesDoNotLinkTheEmulator(t *testing.T) {
	for _, main := range []string{"webhook", "agent"} {
		dir := filepath.Join("..", "..", "cmd", main)
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("%s: %v", main, err)
			continue
		}
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./"+filepath.ToSlash(dir)).CombinedOutput()
		if err != nil {
			t.Errorf("go list: %v\n%s", err, out)
		}
		if strings.Contains(string(out), "twelvefold.dev/internal/emulator") {
			t.Errorf("cmd/%s links the emulator", main)
		}
	}
}
