package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/azure"
	"twelvefold.dev/internal/keyvault/envfile"
)

// fetch is one run of the fetch command. It may run any number of times in the same volumes: restarted pods do.
type fetch struct {
	*Agent
	log            *slog.Logger
	envFile        string
	filesDir       string
	deadline       time.Duration
	terminationLog string
}

// run reports failures in the log and the termination message; its error is for the exit code only.
func (f *fetch) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.deadline)
	defer cancel()
	err := f.deliver(ctx)
	if err == nil {
		return nil
	}
	lines := strings.Split(err.Error(), "\n")
	for _, line := range lines {
		f.log.Error("failed", "problem", line)
	}
	if err := writeTerminationMessage(f.terminationLog, lines); err != nil {
		f.log.Warn("cannot write the termination message", "error", err.Error())
	}
	return &exitError{err, codeOf(err)}
}

// deliver gets all values, checks all, and only then writes.
func (f *fetch) deliver(ctx context.Context) error {
	plan, err := keyvault.ParsePlan(f.Env(keyvault.PlanEnv))
	if err != nil {
		return fmt.Errorf("%w; the webhook writes it: are webhook and agent of the same version?", err)
	}
	if err := plan.Validate(); err != nil {
		return err
	}
	client, err := f.client()
	if err != nil {
		return err
	}
	contents, err := client.Fetch(ctx, referencesOf(plan))
	if err != nil {
		return err
	}
	values, err := render(referencesOf(plan), contents)
	if err != nil {
		return err
	}
	env, err := envfile.Encode(entriesOf(plan, values))
	if err != nil {
		return err
	}
	if err := f.write(plan, env, values); err != nil {
		return err
	}
	f.log.Info("delivered", "env", len(plan.Env), "files", len(plan.Files))
	return nil
}

// client reads identity, proxy and trust from the environment.
func (f *fetch) client() (*azure.Client, error) {
	proxy := httpproxy.Config{
		HTTPSProxy: firstOf(f.Env, "HTTPS_PROXY", "https_proxy"),
		NoProxy:    firstOf(f.Env, "NO_PROXY", "no_proxy"),
	}
	const trusted = "TWELVEFOLD_TRUSTED_CA"
	http, err := azure.HTTPClient(proxy.ProxyFunc(), []byte(f.Env(trusted)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w; correct the policy's keyVault.trustedCA", trusted, err)
	}
	return azure.New(azure.Config{
		Identity: azure.IdentityFromEnv(f.Env),
		HTTP:     http, Log: f.log, Now: f.Now, Retry: f.Retry,
	})
}

func firstOf(env func(string) string, names ...string) string {
	for _, name := range names {
		if v := env(name); v != "" {
			return v
		}
	}
	return ""
}

func referencesOf(p keyvault.Plan) []keyvault.Reference {
	var out []keyvault.Reference
	for _, e := range p.Env {
		out = append(out, e.Reference)
	}
	for _, f := range p.Files {
		out = append(out, f.Reference)
	}
	return out
}

// values are what references stand for. An optional object that is missing has none.
type values map[keyvault.Reference][]byte

// render makes the values, or tells of all that can't be made.
func render(references []keyvault.Reference, contents azure.Contents) (values, error) {
	out := values{}
	var errs []error
	for _, r := range references {
		content, ok := contents[r.Object()]
		if !ok {
			continue
		}
		value, err := content.Render(r)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r, err))
		}
		out[r] = value
	}
	return out, errors.Join(errs...)
}

// entriesOf lists what goes into the env file. An optional secret that is missing doesn't.
func entriesOf(p keyvault.Plan, values values) []envfile.Entry {
	var out []envfile.Entry
	for _, e := range p.Env {
		if v, ok := values[e.Reference]; ok {
			out = append(out, envfile.Entry{Key: e.Key, EnvName: e.EnvName, Secret: e.Reference.String(), Value: string(v), Optional: e.Optional})
		}
	}
	return out
}

// write puts the files in place, the env file last: nothing starts before that is there.
func (f *fetch) write(p keyvault.Plan, env []byte, values values) error {
	if len(p.Files) > 0 {
		if err := writeFiles(f.filesDir, p.Files, values); err != nil {
			return fmt.Errorf("%w; check the volume twelvefold-files", err)
		}
	}
	if len(p.Env) > 0 {
		if err := writeEnvFile(f.envFile, env); err != nil {
			return fmt.Errorf("%w; check the volume twelvefold-env", err)
		}
	}
	return nil
}
