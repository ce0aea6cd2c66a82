package agent_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// binary is the agent as it runs in pods, built once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "twelvefold-agent-")
	if err != nil {
		return "", err
	}
	built = dir
	if err := os.Chmod(dir, 0o755); err != nil { // some run it as another user
		return "", err
	}
	path := filepath.Join(dir, "twelvefold-agent")
	if out, err := exec.Command("go", "build", "-o", path, "twelvefold.dev/cmd/agent").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

var built string // the directory to remove

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

func agentBinary(t *testing.T) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// environ is the pod's environment for a process.
func (p *pod) environ() []string {
	var out []string
	for name, value := range p.env {
		out = append(out, name+"="+value)
	}
	return out
}
