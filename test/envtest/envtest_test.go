package envtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"twelvefold.dev/test/envtest"
)

func TestAssetsFromTheEnvironment(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("KUBEBUILDER_ASSETS", dir)
	for _, name := range []string{"etcd", "kubectl"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := envtest.Assets(t.Output()); err == nil || !strings.Contains(err.Error(), "has no kube-apiserver:") {
		t.Errorf("error without a kube-apiserver = %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kube-apiserver"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := envtest.Assets(t.Output()); err != nil || got != dir {
		t.Errorf("Assets = %q, %v, want %q", got, err, dir)
	}
}
