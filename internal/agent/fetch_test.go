package agent_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/agent"
	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/keyvault"
)

func TestFetchDelivers(t *testing.T) {
	p := newPod(t)
	const bank = "bank.vault.azure.net"
	old := p.secret(t, shop, emulator.Secret{Name: "db-password", Value: marker + "-old"})
	p.secret(t, shop, emulator.Secret{Name: "db-password", Value: marker + "-new"})
	p.secret(t, shop, emulator.Secret{Name: "tls", Value: "-----BEGIN\n" + marker + "'\r\n\x00-----END"})
	p.secret(t, bank, emulator.Secret{Name: "db-password", Value: marker + "-bank"})

	pinned := keyvault.Reference{Vault: shop, Name: "db-password", Version: old}
	optional := keyvault.Reference{Vault: shop, Name: "absent", Optional: true}
	plan := keyvault.Plan{
		Env: []keyvault.EnvItem{
			{Key: "K0", Reference: in("db-password"), EnvName: "NEW"},
			{Key: "K1", Reference: pinned, EnvName: "OLD"},
			{Key: "K2", Reference: optional, EnvName: "ABSENT"},
			{Key: "K3", Reference: keyvault.Reference{Vault: bank, Name: "db-password"}, EnvName: "BANK"},
			{Key: "K4", Reference: in("db-password"), EnvName: "AGAIN"},
		},
		Files: []keyvault.FileItem{
			{Path: "tls.pem", Reference: in("tls")},
			{Path: "db/password", Reference: withMode(in("db-password"), 0o440)},
			{Path: "absent", Reference: optional},
			{Volume: "tls", Path: "tls.pem", Reference: in("tls")},
			{Volume: "tls", Path: "password", Reference: in("db-password")},
			{Volume: "more", Path: "a/b", Reference: pinned},
		},
	}
	want := map[string]string{
		"env/env": "K0='" + marker + "-new'\nK1='" + marker + "-old'\nK3='" + marker + "-bank'\nK4='" + marker + "-new'\n",
		// A file carries any bytes.
		"files/tls.pem":        "-----BEGIN\n" + marker + "'\r\n\x00-----END",
		"files/db/password":    marker + "-new",
		"volumes/tls/tls.pem":  "-----BEGIN\n" + marker + "'\r\n\x00-----END",
		"volumes/tls/password": marker + "-new",
		"volumes/more/a/b":     marker + "-old",
	}

	for range 2 { // a restarted container runs again in the same volumes
		p.fetch(t, plan).want(t, agent.ExitOK)
		if diff := cmp.Diff(want, p.delivered(t)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	for name, mode := range map[string]os.FileMode{"env/env": 0o400, "files/tls.pem": 0o444, "files/db/password": 0o440} {
		if info, err := os.Stat(p.path(name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: mode %v, %v; want %v", name, info.Mode(), err, mode)
		}
	}
}

func TestFetchAsksOncePerSecretAndOnceForAToken(t *testing.T) {
	p := newPod(t)
	var plan keyvault.Plan
	for i, name := range []string{"a", "b", "c", "d", "e", "f", "a", "b"} {
		p.secret(t, shop, emulator.Secret{Name: name, Value: marker})
		plan.Env = append(plan.Env, keyvault.EnvItem{Key: "K" + string(rune('0'+i)), Reference: in(name), EnvName: "A"})
	}
	p.fetch(t, plan).want(t, agent.ExitOK)
	if diff := cmp.Diff(map[int]int{401: 1, 200: 6}, p.requests(shop)); diff != "" {
		t.Errorf("requests to the vault by status (-want +got):\n%s", diff)
	}
	tokens := 0
	for _, r := range p.Requests() {
		if r.Method == "POST" {
			tokens++
		}
	}
	if tokens != 1 {
		t.Errorf("%d requests for tokens, want 1", tokens)
	}
}

func TestOptionalSecretThatWentAwayLeavesNoFile(t *testing.T) {
	p := newPod(t)
	p.secret(t, shop, emulator.Secret{Name: "here", Value: marker})
	file := func(s keyvault.Reference) keyvault.Plan {
		return keyvault.Plan{Files: []keyvault.FileItem{{Path: "old", Reference: s}}}
	}
	p.fetch(t, file(in("here"))).want(t, agent.ExitOK)
	p.fetch(t, file(keyvault.Reference{Vault: shop, Name: "gone", Optional: true})).want(t, agent.ExitOK)
	if diff := cmp.Diff(map[string]string{}, p.delivered(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What a killed run left is cleared away, and no link that another container planted leads out of the volume.
func TestVolumeOfAnEarlierRun(t *testing.T) {
	p := newPod(t)
	p.secret(t, shop, emulator.Secret{Name: "a", Value: marker})
	outside := t.TempDir()
	const killed = "files/..2026_01_02_03_04_05.0123456789"
	if err := errors.Join(
		os.MkdirAll(p.path(killed), 0o755), os.WriteFile(p.path(killed+"/a"), []byte("half"), 0o400),
		os.WriteFile(p.path("env/.env.new"), []byte("half"), 0o400), os.Symlink(outside, p.path("files/db")), os.Symlink(outside, p.path("env/env")),
	); err != nil {
		t.Fatal(err)
	}
	plan := env(in("a"))
	plan.Files = []keyvault.FileItem{{Path: "db/a", Reference: in("a")}}
	p.fetch(t, plan).want(t, agent.ExitOK)
	if diff := cmp.Diff(map[string]string{"env/env": "K0='" + marker + "'\n", "files/db/a": marker}, p.delivered(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := os.Stat(p.path(killed)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what the killed run left is still there: %v", err)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("written outside: %v, %v", entries, err)
	}
}

func TestVolumesThatCannotBeWritten(t *testing.T) {
	p := newPod(t)
	p.secret(t, shop, emulator.Secret{Name: "a", Value: marker})
	remove := func(dir string) {
		if err := os.RemoveAll(p.path(dir)); err != nil {
			t.Fatal(err)
		}
	}
	remove("bin")
	p.fetch(t, inExec(env(in("a")))).want(t, agent.ExitConfiguration, "cannot write to the volume twelvefold-bin")
	p.fetch(t, keyvault.Plan{Files: []keyvault.FileItem{{Volume: "absent", Path: "a", Reference: in("a")}}}).
		want(t, agent.ExitConfiguration, "cannot write to the volume absent")
	if diff := cmp.Diff(map[string]string{}, p.delivered(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	remove("files")
	p.fetch(t, keyvault.Plan{Files: []keyvault.FileItem{{Path: "a", Reference: in("a")}}}).
		want(t, agent.ExitConfiguration, "cannot write to the volume twelvefold-files")
}

func TestOptionalOnlyIfAllUsesAre(t *testing.T) {
	p := newPod(t)
	optional := in("absent")
	optional.Optional = true
	plan := env(optional)
	plan.Files = []keyvault.FileItem{{Path: "f", Reference: in("absent")}}
	p.fetch(t, plan).want(t, agent.ExitMissing, "secret absent in vault shop.vault.azure.net")
}

func TestEnvFileIsThereEvenIfEmpty(t *testing.T) { // fileKeyRef's optional forgives a missing key, not a missing file
	p := newPod(t)
	s := in("absent")
	s.Optional = true
	p.fetch(t, env(s)).want(t, agent.ExitOK)
	if diff := cmp.Diff(map[string]string{"env/env": ""}, p.delivered(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUndeliverableValueWritesNothing(t *testing.T) {
	for name, value := range map[string]string{
		"single quote": marker + "'", "NUL": marker + "\x00", "empty": "", "CR LF": marker + "\r\n",
		"long line": marker + strings.Repeat("x", 1<<16),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			p.secret(t, shop, emulator.Secret{Name: "good", Value: marker})
			p.secret(t, shop, emulator.Secret{Name: "bad", Value: value})
			plan := env(in("bad"))
			plan.Files = []keyvault.FileItem{{Path: "f", Reference: in("good")}}
			ways := []string{"secret bad in vault shop.vault.azure.net", "DB_PASSWORD", "file.twelvefold.dev/<file name>"}
			if name != "NUL" {
				ways = append(ways, "twelvefold.dev/delivery: exec")
			}
			p.fetch(t, plan).want(t, agent.ExitUndeliverable, ways...)
			if diff := cmp.Diff(map[string]string{}, p.delivered(t)); diff != "" {
				t.Errorf("something was written (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBadConfiguration(t *testing.T) {
	good := newPod(t)
	good.secret(t, shop, emulator.Secret{Name: "a", Value: marker})
	for name, tc := range map[string]struct {
		change func(*pod)
		want   string
	}{
		"no plan":          {func(p *pod) { p.env[keyvault.PlanEnv] = "" }, "TWELVEFOLD_PLAN"},
		"plan of tomorrow": {func(p *pod) { p.env[keyvault.PlanEnv] = `{"rotate": true}` }, "rotate"},
		"path that climbs": {func(p *pod) {
			p.env[keyvault.PlanEnv] = `{"files":[{"path":"../x","vault":"` + shop + `","object":"a"}]}`
		}, `"../x"`},
		"secret that climbs": {func(p *pod) {
			p.env[keyvault.PlanEnv] = `{"files":[{"path":"x","vault":"` + shop + `","object":"../a"}]}`
		}, `"../a"`},
		"no client id":    {func(p *pod) { p.env["AZURE_CLIENT_ID"] = "" }, "azure.workload.identity/client-id"},
		"no tenant":       {func(p *pod) { p.env["AZURE_TENANT_ID"] = "" }, "azure.workload.identity/tenant-id"},
		"no token":        {func(p *pod) { p.env["AZURE_FEDERATED_TOKEN_FILE"] = "/nowhere/token" }, "/nowhere/token"},
		"CA is no PEM":    {func(p *pod) { p.env["TWELVEFOLD_TRUSTED_CA"] = "x" }, "keyVault.trustedCA"},
		"plain authority": {func(p *pod) { p.env["AZURE_AUTHORITY_HOST"] = "http://login.microsoftonline.com" }, "https"},
		"no volume":       {func(p *pod) { p.args[1] = "/nowhere/env" }, "twelvefold-env"},
	} {
		t.Run(name, func(t *testing.T) {
			p := *good
			p.args = append([]string(nil), good.args...)
			p.env = map[string]string{keyvault.PlanEnv: `{"env":[{"key":"K0","name":"A","vault":"` + shop + `","object":"a"}]}`}
			for k, v := range good.env {
				if k != keyvault.PlanEnv {
					p.env[k] = v
				}
			}
			tc.change(&p)
			p.run(t, append([]string{"fetch", "--termination-log", p.path("termination")}, p.args...)...).want(t, agent.ExitConfiguration, tc.want)
		})
	}
}

func TestTerminationMessageIsCut(t *testing.T) {
	p := newPod(t)
	var plan keyvault.Plan
	for range 60 {
		name := strings.Repeat("x", 50) + "-" + string(rune('A'+len(plan.Files)%26)) + string(rune('A'+len(plan.Files)/26))
		plan.Files = append(plan.Files, keyvault.FileItem{Path: name, Reference: in(name)})
	}
	r := p.fetch(t, plan)
	r.want(t, agent.ExitMissing, "more in the log")
	if len(r.termination) > 4096 {
		t.Errorf("the termination message has %d bytes, the kubelet keeps 4096", len(r.termination))
	}
	if n := strings.Count(r.log, "SecretNotFound"); n != 60 {
		t.Errorf("the log tells of %d secrets, want 60", n)
	}
}

func withMode(r keyvault.Reference, mode int32) keyvault.Reference {
	r.Mode = mode
	return r
}

func planText(t *testing.T, p keyvault.Plan) string {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// inExec is the same plan for exec.
func inExec(p keyvault.Plan) keyvault.Plan {
	p.Exec = true
	return p
}
