package keyvault_test

import (
	"encoding/json"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"twelvefold.dev/internal/keyvault"
)

func validPlan() keyvault.Plan {
	s := keyvault.Reference{Vault: "shop.vault.azure.net", Name: "db-password"}
	return keyvault.Plan{
		Env:   []keyvault.EnvItem{{Key: "K0", Reference: s, EnvName: "DB_PASSWORD"}},
		Files: []keyvault.FileItem{{Path: "tls/tls.pem", Reference: s}},
	}
}

func TestPlanValidate(t *testing.T) {
	if err := validPlan().Validate(); err != nil {
		t.Fatalf("a good plan: %v", err)
	}
	env := func(change func(*keyvault.EnvItem)) func(*keyvault.Plan) {
		return func(p *keyvault.Plan) { change(&p.Env[0]) }
	}
	file := func(change func(*keyvault.FileItem)) func(*keyvault.Plan) {
		return func(p *keyvault.Plan) { change(&p.Files[0]) }
	}
	for name, tc := range map[string]struct {
		change func(*keyvault.Plan)
		want   string
	}{
		"empty":               {func(p *keyvault.Plan) { *p = keyvault.Plan{} }, "nothing to fetch"},
		"key":                 {env(func(e *keyvault.EnvItem) { e.Key = "#K" }), `env[0]: key "#K"`},
		"key twice":           {func(p *keyvault.Plan) { p.Env = append(p.Env, p.Env[0]) }, "env[1]: key K0 is there twice"},
		"no env name":         {env(func(e *keyvault.EnvItem) { e.EnvName = "" }), "env[0]"},
		"vault without dots":  {env(func(e *keyvault.EnvItem) { e.Vault = "shop" }), `vault "shop"`},
		"vault with path":     {env(func(e *keyvault.EnvItem) { e.Vault = "shop.vault.azure.net/x" }), "vault"},
		"vault with user":     {env(func(e *keyvault.EnvItem) { e.Vault = "shop.vault.azure.net@evil.example" }), "vault"},
		"vault with port":     {env(func(e *keyvault.EnvItem) { e.Vault = "shop.vault.azure.net:8443" }), "vault"},
		"two hyphens":         {env(func(e *keyvault.EnvItem) { e.Vault = "sh--op.vault.azure.net" }), "vault"},
		"secret climbs":       {env(func(e *keyvault.EnvItem) { e.Reference.Name = "../keys/a" }), `name "../keys/a"`},
		"secret with query":   {env(func(e *keyvault.EnvItem) { e.Reference.Name = "a?b" }), "name"},
		"version":             {env(func(e *keyvault.EnvItem) { e.Version = "latest" }), `version "latest"`},
		"file climbs":         {file(func(f *keyvault.FileItem) { f.Path = "../env" }), "files[0]: path"},
		"file climbs inside":  {file(func(f *keyvault.FileItem) { f.Path = "a/../../env" }), "files[0]: path"},
		"file of the swap":    {file(func(f *keyvault.FileItem) { f.Path = "..data/tls.pem" }), "files[0]: path"},
		"absolute file":       {file(func(f *keyvault.FileItem) { f.Path = "/etc/passwd" }), "files[0]: path"},
		"file is a directory": {file(func(f *keyvault.FileItem) { f.Path = "." }), "files[0]: path"},
		"file without name":   {file(func(f *keyvault.FileItem) { f.Path = "" }), "files[0]: path"},
		"file twice":          {func(p *keyvault.Plan) { p.Files = append(p.Files, p.Files[0]) }, "files[1]: path"},
		"setuid":              {file(func(f *keyvault.FileItem) { f.Mode = 0o4755 }), "mode"},
	} {
		t.Run(name, func(t *testing.T) {
			p := validPlan()
			tc.change(&p)
			if err := p.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestParsePlanRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, text := range []string{"", "{", `{"evn": []}`, `{"env": [{"key": "K0", "value": "x"}]}`, `{} {}`} {
		if _, err := keyvault.ParsePlan(text); err == nil || !strings.Contains(err.Error(), keyvault.PlanEnv) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

// Whatever a plan that passes names, stays what it is in a URL and in a path.
func FuzzPlan(f *testing.F) {
	good, err := json.Marshal(validPlan())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(good))
	f.Add(`{"files":[{"path":"a/../../b","vault":"v.vault.azure.net","object":"a"}]}`)
	f.Add(`{"env":[{"key":"K0","name":"A","vault":"shop.vault.azure.net:1","object":"a/b?c#d"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := keyvault.ParsePlan(text)
		if err != nil || p.Validate() != nil {
			return
		}
		check := func(s keyvault.Reference) {
			if u, err := url.Parse("https://" + s.Vault + "/secrets/" + s.Name + "/" + s.Version); err != nil ||
				u.Hostname() != s.Vault || u.Host != s.Vault || u.User != nil || u.Path != "/secrets/"+s.Name+"/"+s.Version {
				t.Errorf("%v changes the URL", s)
			}
		}
		for _, e := range p.Env {
			check(e.Reference)
		}
		for _, f := range p.Files {
			check(f.Reference)
			if !filepath.IsLocal(f.Path) {
				t.Errorf("%q leaves its directory", f.Path)
			}
		}
	})
}
