package agent_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/agent"
	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/envfile"
)

func TestFetchForExec(t *testing.T) {
	p := newPod(t)
	odd := marker + "'\r\n" + strings.Repeat("x", 100_000)
	p.secret(t, shop, emulator.Secret{Name: "odd", Value: odd})
	p.secret(t, shop, emulator.Secret{Name: "empty", Value: ""})
	optional := in("absent")
	optional.Optional = true
	plan := keyvault.Plan{Exec: true, Env: []keyvault.EnvItem{
		{Key: "K0", Reference: in("odd"), EnvName: "A"}, {Key: "K1", Reference: in("empty"), EnvName: "B"}, {Key: "K2", Reference: optional, EnvName: "C"},
	}}
	for range 2 {
		p.fetch(t, plan).want(t, agent.ExitOK)
		text, err := os.ReadFile(p.path("env/exec.json"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := envfile.DecodeExec(text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"K0": odd, "K1": ""}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if strings.Contains(string(text), marker) {
			t.Error("the values are not in base64")
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"env/exec.json": 0o444, "bin/twelvefold-agent": 0o755} {
		if info, err := os.Stat(p.path(name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: mode %v, %v; want %v", name, info.Mode(), err, mode)
		}
	}
	want, _ := os.ReadFile(self)
	if got, err := os.ReadFile(p.path("bin/twelvefold-agent")); err != nil || string(got) != string(want) {
		t.Errorf("the executable's copy has %d bytes, want %d; %v", len(got), len(want), err)
	}
	if names := p.names(t, "bin"); len(names) != 1 {
		t.Errorf("beside the executable stand %v", names)
	}
	if _, err := os.Stat(p.path("env/env")); err == nil {
		t.Error("there is an env file, too")
	}
}

// A copy that is there already is not written again, and a wrong one is replaced.
func TestExecutableIsCopiedOnce(t *testing.T) {
	p := newPod(t)
	p.secret(t, shop, emulator.Secret{Name: "a", Value: marker})
	plan := inExec(env(in("a")))
	fetched := func() os.FileInfo {
		p.fetch(t, plan).want(t, agent.ExitOK)
		info, err := os.Stat(p.path("bin/twelvefold-agent"))
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	first := fetched()
	if !os.SameFile(first, fetched()) {
		t.Error("it was copied again")
	}
	for _, spoil := range []func() error{
		func() error { return os.Truncate(p.path("bin/twelvefold-agent"), 1000) },
		func() error { return os.Chmod(p.path("bin/twelvefold-agent"), 0o644) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if again := fetched(); again.Size() != first.Size() || again.Mode() != 0o755 {
			t.Errorf("%d bytes, mode %v", again.Size(), again.Mode())
		}
	}
}

func TestExecRefusesWhatNoEnvironmentCarries(t *testing.T) {
	for name, value := range map[string]string{"NUL": marker + "\x00", "131070 bytes": marker + strings.Repeat("x", 131_070)} {
		p := newPod(t)
		p.secret(t, shop, emulator.Secret{Name: "bad", Value: value})
		r := p.fetch(t, inExec(env(in("bad"))))
		r.want(t, agent.ExitUndeliverable, "secret bad in", name, "file.twelvefold.dev/<file name>")
		if strings.Contains(r.termination, "delivery") {
			t.Errorf("it advises exec:\n%s", r.termination)
		}
		if diff := cmp.Diff(map[string]string{}, p.delivered(t)); diff != "" {
			t.Errorf("something was written (-want +got):\n%s", diff)
		}
	}
}

func TestVersionsAreNoted(t *testing.T) {
	p := newPod(t)
	old := p.secret(t, shop, emulator.Secret{Name: "a", Value: marker})
	newest := p.secret(t, shop, emulator.Secret{Name: "a", Value: marker})
	pinned, optional := in("a"), in("absent")
	pinned.Version, optional.Optional = old, true
	plan := env(in("a"))
	plan.Files = []keyvault.FileItem{{Path: "a", Reference: in("a")}, {Path: "b", Reference: pinned}, {Path: "c", Reference: optional}}
	p.fetch(t, plan).want(t, agent.ExitOK)
	text, err := os.ReadFile(p.path("state/versions.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got []map[string]string
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := []map[string]string{{"vault": shop, "object": "a", "version": newest}, {"vault": shop, "object": "a", "pinned": old, "version": old}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := os.RemoveAll(p.path("state")); err != nil {
		t.Fatal(err)
	}
	p.fetch(t, plan).want(t, agent.ExitOK) // without rotation there is no such directory
}

func TestRerunKeepsWhatIsThere(t *testing.T) {
	optional := in("absent")
	optional.Optional = true
	plan := keyvault.Plan{
		Env:   []keyvault.EnvItem{{Key: "K0", Reference: in("a"), EnvName: "A"}, {Key: "K1", Reference: optional, EnvName: "B"}},
		Files: []keyvault.FileItem{{Volume: "tls", Path: "d/a", Reference: in("a")}, {Path: "absent", Reference: optional}},
	}
	for name, tc := range map[string]struct {
		plan    keyvault.Plan
		restart bool
		lose    string
		code    int
	}{
		"everything there":       {plan: plan, restart: true},
		"everything for exec":    {plan: inExec(plan), restart: true},
		"another rotation":       {plan: plan, code: agent.ExitDisabled},
		"no env file":            {plan: plan, restart: true, lose: "env/env", code: agent.ExitDisabled},
		"no values for exec":     {plan: inExec(plan), restart: true, lose: "env/exec.json", code: agent.ExitDisabled},
		"no executable for exec": {plan: inExec(plan), restart: true, lose: "bin/twelvefold-agent", code: agent.ExitDisabled},
		"no file":                {plan: plan, restart: true, lose: "volumes/tls/..data/d/a", code: agent.ExitDisabled},
		"no note":                {plan: plan, restart: true, lose: "state/versions.json", code: agent.ExitDisabled},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			version := p.secret(t, shop, emulator.Secret{Name: "a", Value: marker})
			if tc.restart {
				p.env["TWELVEFOLD_ROTATION"] = "restart"
			}
			p.fetch(t, tc.plan).want(t, agent.ExitOK)
			before := p.delivered(t)
			p.secret(t, shop, emulator.Secret{Name: "a", Value: marker, Version: version, Disabled: true})
			if tc.lose != "" {
				if err := os.Remove(p.path(tc.lose)); err != nil {
					t.Fatal(err)
				}
				p.fetch(t, tc.plan).want(t, tc.code, "disabled")
				return
			}
			r := p.fetch(t, tc.plan)
			r.want(t, tc.code)
			if diff := cmp.Diff(before, p.delivered(t)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if tc.code == 0 && (!strings.Contains(r.log, "disabled") || !strings.Contains(r.log, "keeping what an earlier run delivered")) {
				t.Errorf("the log does not tell:\n%s", r.log)
			}
		})
	}
}

func TestFirstRunHasNothingToKeep(t *testing.T) {
	p := newPod(t)
	p.env["TWELVEFOLD_ROTATION"] = "restart"
	p.fetch(t, env(in("absent"))).want(t, agent.ExitMissing, "secret absent")
	p.env[keyvault.PlanEnv] = "{}"
	p.run(t, append([]string{"fetch", "--termination-log", p.path("termination")}, p.args...)...).want(t, agent.ExitConfiguration, "nothing to fetch")
}

// names lists a volume.
func (p *pod) names(t *testing.T, volume string) []string {
	t.Helper()
	entries, err := os.ReadDir(p.path(volume))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}
