package bench

import (
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/keyvault"
)

const (
	vault    = "shop.vault.azure.net"
	clientID = "22222222-2222-4222-8222-222222222222"
	secrets  = 20
)

// build builds a program as the Makefile builds what goes into images.
func build(tb testing.TB, goos, program string) string {
	tb.Helper()
	out := filepath.Join(tb.TempDir(), filepath.Base(program))
	c := exec.CommandContext(tb.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, program)
	c.Dir = filepath.Join("..", "..")
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+runtime.GOARCH)
	if text, err := c.CombinedOutput(); err != nil {
		tb.Fatalf("%v\n%s", err, text)
	}
	return out
}

// The image of the agent holds nothing but it, and every pod's node pulls it.
func TestAgentIsSmallAndStatic(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join("..", "..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(makefile), "CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) go build -trimpath -ldflags '-s -w' -o") {
		t.Error("the Makefile builds otherwise than this test")
	}
	name := build(t, "linux", "./cmd/agent")
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if limit := int64(25 << 20); info.Size() >= limit {
		t.Errorf("the agent has %d bytes, want less than %d", info.Size(), limit)
	}
	file, err := elf.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the agent wants a dynamic linker")
		}
	}
}

// BenchmarkFetch compares the agent's fetch with a loop of the bare SDK, each a process of its own, at an emulator on loopback.
func BenchmarkFetch(b *testing.B) {
	agent, bare := build(b, runtime.GOOS, "./cmd/agent"), build(b, runtime.GOOS, "./test/bench/bare")
	dir, env, names := fetcher(b)
	args := []string{"fetch", "--env-file", filepath.Join(dir, "env"), "--files-dir", dir, "--termination-log", filepath.Join(dir, "termination")}
	var ours, floor time.Duration
	for b.Loop() {
		ours += spend(b, env, agent, args...)
		floor += spend(b, env, bare, append([]string{vault}, names...)...)
	}
	b.ReportMetric(float64(ours.Microseconds())/1000/float64(b.N), "cpu-ms/fetch")
	b.ReportMetric(float64(floor.Microseconds())/1000/float64(b.N), "cpu-ms/bare")
	b.ReportMetric(float64(ours)/float64(floor), "ratio")
	b.ReportMetric(0, "ns/op") // the sum of both would mislead
}

// spend runs a program, and tells how much of the processors it took.
func spend(b *testing.B, env []string, name string, args ...string) time.Duration {
	b.Helper()
	c := exec.CommandContext(b.Context(), name, args...)
	c.Env = env
	if text, err := c.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, text)
	}
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime()
}

// fetcher is a directory for an agent, its environment, and the secrets that its plan names.
func fetcher(b *testing.B) (dir string, env, names []string) {
	b.Helper()
	cluster, err := emulator.NewCluster("https://kubernetes.default.svc.cluster.local")
	if err != nil {
		b.Fatal(err)
	}
	seed := emulator.Seed{
		Vaults: []emulator.Vault{{Host: vault}},
		Identities: []emulator.Identity{{
			ClientID: clientID, Federated: []emulator.Federated{{Subject: "*"}}, Roles: map[string]emulator.Role{"*": emulator.SecretsUser},
		}},
	}
	var plan keyvault.Plan
	for i := range secrets {
		name := fmt.Sprintf("secret-%d", i)
		names = append(names, name)
		seed.Vaults[0].Secrets = append(seed.Vaults[0].Secrets, emulator.Secret{Name: name, Value: strings.Repeat("x", 64)})
		plan.Env = append(plan.Env, keyvault.EnvItem{Key: fmt.Sprintf("K%d", i), EnvName: "A", Reference: keyvault.Reference{Vault: vault, Name: name}})
	}
	e, err := emulator.Start(b.Context(), emulator.Config{Issuers: []emulator.Issuer{cluster.Issuer()}, Seed: seed})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { e.Close() })
	token, err := cluster.Token("shop", "api")
	if err != nil {
		b.Fatal(err)
	}
	dir = b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(token), 0o600); err != nil {
		b.Fatal(err)
	}
	text, err := json.Marshal(plan)
	if err != nil {
		b.Fatal(err)
	}
	return dir, []string{
		keyvault.PlanEnv + "=" + string(text), "AZURE_CLIENT_ID=" + clientID, "AZURE_TENANT_ID=" + emulator.DefaultTenant,
		"AZURE_FEDERATED_TOKEN_FILE=" + filepath.Join(dir, "token"), "HTTPS_PROXY=" + e.ProxyURL(), "TWELVEFOLD_TRUSTED_CA=" + string(e.CAPEM()),
	}, names
}
