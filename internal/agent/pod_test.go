package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"twelvefold.dev/internal/agent"
	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/azure"
)

const (
	shop     = "shop.vault.azure.net"
	clientID = "22222222-2222-4222-8222-222222222222"
	issuer   = "https://kubernetes.default.svc.cluster.local"
	// marker is part of every value. It must never be seen outside of the files.
	marker = "s3cret"
)

// pod is what fetch finds around it: the real SDK in it speaks HTTPS to the emulator, through its proxy.
type pod struct {
	*emulator.Emulator
	cluster *emulator.Cluster
	dir     string
	env     map[string]string
	args    []string
	retry   azure.Retry
	// patience ends when the log of a failed attempt says this. Tests of failures that last need no clock so.
	patience string
}

// aCluster is one for all tests, since making its key takes a while.
var aCluster = sync.OnceValues(func() (*emulator.Cluster, error) { return emulator.NewCluster(issuer) })

func newPod(t *testing.T) *pod {
	t.Helper()
	cluster, err := aCluster()
	if err != nil {
		t.Fatal(err)
	}
	e, err := emulator.Start(t.Context(), emulator.Config{
		Issuers: []emulator.Issuer{cluster.Issuer()},
		Seed: emulator.Seed{
			Vaults: []emulator.Vault{{Host: shop}},
			Identities: []emulator.Identity{{
				ClientID:  clientID,
				Federated: []emulator.Federated{{Issuer: issuer, Subject: "system:serviceaccount:shop:api"}},
				Roles:     map[string]emulator.Role{"*": emulator.SecretsUser},
			}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	p := &pod{Emulator: e, cluster: cluster, dir: t.TempDir(), retry: azure.Retry{Delay: time.Millisecond, MaxDelay: 4 * time.Millisecond, Timeout: 5 * time.Second}}
	for _, dir := range []string{"env", "files", "volumes/tls", "volumes/more", "bin", "state"} {
		if err := os.MkdirAll(p.path(dir), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	p.env = map[string]string{
		"AZURE_CLIENT_ID": clientID, "AZURE_TENANT_ID": emulator.DefaultTenant, "AZURE_FEDERATED_TOKEN_FILE": p.path("token"),
		"HTTPS_PROXY": e.ProxyURL(), "TWELVEFOLD_TRUSTED_CA": string(e.CAPEM()),
	}
	p.serviceAccount(t, "shop", "api")
	p.args = []string{"--env-file", p.path("env/env"), "--files-dir", p.path("files"), "--volumes-dir", p.path("volumes"), "--bin-dir", p.path("bin"), "--state-dir", p.path("state")}
	return p
}

func (p *pod) path(name string) string { return filepath.Join(p.dir, name) }

// serviceAccount projects the token of a service account.
func (p *pod) serviceAccount(t *testing.T, namespace, name string) {
	t.Helper()
	token, err := p.cluster.Token(namespace, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.path("token"), []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *pod) secret(t *testing.T, host string, s emulator.Secret) (version string) {
	t.Helper()
	version, err := p.SetSecret(host, s)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// result is what a run of fetch left to see.
type result struct {
	code        int
	log         string
	termination string
}

// fetch runs the agent's fetch, and fails the test if any output holds a value.
func (p *pod) fetch(t *testing.T, plan keyvault.Plan, flags ...string) result {
	t.Helper()
	p.env[keyvault.PlanEnv] = planText(t, plan)
	return p.run(t, append(append([]string{"fetch", "--termination-log", p.path("termination")}, p.args...), flags...)...)
}

func (p *pod) run(t *testing.T, args ...string) result {
	t.Helper()
	var out, log bytes.Buffer
	a := &agent.Agent{Env: func(name string) string { return p.env[name] }, Stdout: &out, Stderr: &log, Retry: p.retry}
	_ = os.Remove(p.path("termination"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if p.patience != "" {
		a.Stderr = writerFunc(func(line []byte) (int, error) {
			if bytes.Contains(line, []byte("trying again")) && bytes.Contains(line, []byte(p.patience)) {
				cancel()
			}
			return log.Write(line)
		})
	}
	r := result{code: a.Run(ctx, args), log: log.String()}
	if text, err := os.ReadFile(p.path("termination")); err == nil {
		r.termination = string(text)
	}
	for name, text := range map[string]string{"stdout": out.String(), "log": r.log, "termination message": r.termination} {
		if strings.Contains(text, marker) || strings.Contains(text, "eyJ") {
			t.Errorf("the %s holds a value or a token:\n%s", name, text)
		}
	}
	for line := range strings.Lines(r.log) {
		if !json.Valid([]byte(line)) {
			t.Errorf("this line of the log is not JSON: %s", line)
		}
	}
	return r
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// want checks the exit code and that the termination message says all of the texts; for 0 that there is none.
func (r result) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d; log:\n%s", r.code, code, r.log)
	}
	if (code == 0) != (r.termination == "") {
		t.Errorf("exit code %d with the termination message %q", code, r.termination)
	}
	for _, text := range texts {
		if !strings.Contains(r.termination, text) {
			t.Errorf("the termination message does not say %q:\n%s", text, r.termination)
		}
	}
}

// delivered lists the files below the pod's volumes with their content, as ls and cat show them.
func (p *pod) delivered(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, volume := range []string{"env", "files", "volumes/tls", "volumes/more"} {
		entries, err := os.ReadDir(p.path(volume))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), "..") {
				p.readInto(t, files, volume+"/"+e.Name())
			}
		}
	}
	return files
}

// readInto reads a file, or all below a directory, through links.
func (p *pod) readInto(t *testing.T, files map[string]string, name string) {
	t.Helper()
	info, err := os.Stat(p.path(name))
	if err != nil {
		t.Fatal(err)
	}
	if !info.IsDir() {
		text, err := os.ReadFile(p.path(name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
		return
	}
	entries, err := os.ReadDir(p.path(name))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		p.readInto(t, files, name+"/"+e.Name())
	}
}

// requests counts the requests to a host by what the emulator answered.
func (p *pod) requests(host string) map[int]int {
	n := map[int]int{}
	for _, r := range p.Requests() {
		if r.Host == host {
			n[r.Status]++
		}
	}
	return n
}

// in names a secret of the vault shop.
func in(name string) keyvault.Reference { return keyvault.Reference{Vault: shop, Name: name} }

// env is a plan for one env var.
func env(s keyvault.Reference) keyvault.Plan {
	return keyvault.Plan{Env: []keyvault.EnvItem{{Key: "K0", Reference: s, EnvName: "DB_PASSWORD"}}}
}
