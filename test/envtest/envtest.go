// Package envtest finds the programs of a Kubernetes control plane, or builds them, for tests against a real API server.
package envtest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// programs are built from these packages of the module in test/controlplane.
var programs = map[string]string{
	"etcd":           "./etcd",
	"kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
	"kubectl":        "k8s.io/kubernetes/cmd/kubectl",
}

// Assets returns a directory with etcd, kube-apiserver and kubectl. It is $KUBEBUILDER_ASSETS if that is set. Otherwise they are
// built from the module in test/controlplane, once for each state of that: they stay in the user's cache directory.
// What takes long is announced on progress.
func Assets(progress io.Writer) (dir string, err error) {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		if missing := missingIn(dir); missing != nil {
			return "", fmt.Errorf("KUBEBUILDER_ASSETS=%s has no %s: unset it to have them built", dir, strings.Join(missing, ", "))
		}
		return dir, nil
	}
	m, err := findModule()
	if err != nil {
		return "", fmt.Errorf("module of the control plane: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("where to keep the control plane: %w; set KUBEBUILDER_ASSETS to a directory that has it", err)
	}
	cache = filepath.Join(cache, "twelvefold", "controlplane")
	dir = filepath.Join(cache, m.version+"-"+m.state)
	if missingIn(dir) == nil {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	// Packages are tested in parallel, and only one of them shall build.
	unlock, err := lockedfile.MutexAt(filepath.Join(cache, "lock")).Lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	if missingIn(dir) == nil {
		return dir, nil
	}
	return dir, m.build(dir, progress)
}

func missingIn(dir string) (missing []string) {
	for name := range programs {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || !info.Mode().IsRegular() {
			missing = append(missing, name)
		}
	}
	return missing
}

// A module is the one in test/controlplane.
type module struct {
	dir     string
	version string // of Kubernetes: v1.37.2
	state   string // hash of what is built
}

func findModule() (*module, error) {
	gomod, err := goCommand("", "env", "GOMOD")
	if err != nil {
		return nil, err
	}
	m := &module{dir: filepath.Join(filepath.Dir(gomod), "test", "controlplane")}
	hash := sha256.New()
	for _, name := range []string{"go.mod", "go.sum", "etcd/main.go"} {
		text, err := os.ReadFile(filepath.Join(m.dir, name))
		if err != nil {
			return nil, err
		}
		hash.Write(text)
	}
	m.state = fmt.Sprintf("%x", hash.Sum(nil)[:6])
	m.version, err = goCommand(m.dir, "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
	return m, err
}

// build makes the programs beside dir, which appears when all of them are there.
func (m *module) build(dir string, progress io.Writer) error {
	fmt.Fprintf(progress, "building etcd, kube-apiserver and kubectl %s, once, about ten minutes on two cores: %s\n", m.version, dir)
	unfinished, err := os.MkdirTemp(filepath.Dir(dir), "building-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(unfinished)
	// The API server turns features on by its own version, which only release builds know.
	major, minor, _ := strings.Cut(strings.TrimPrefix(m.version, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	flags := "-s -w"
	for _, p := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags += fmt.Sprintf(" -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s", p, m.version, major, minor)
	}
	args := []string{"build", "-ldflags", flags, "-o", unfinished + string(filepath.Separator)}
	for _, pkg := range programs {
		args = append(args, pkg)
	}
	if _, err := goCommand(m.dir, args...); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil { // somebody took some of the programs away
		return err
	}
	return os.Rename(unfinished, dir)
}

// goCommand runs the go command in dir and returns what it prints.
func goCommand(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-buildvcs=false")
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w", args[0], errors.Join(err, errors.New(strings.TrimSpace(messages.String()))))
	}
	return strings.TrimSpace(out.String()), nil
}
