package agent

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/spf13/pflag"
	"golang.org/x/net/http/httpproxy"

	"twelvefold.dev/internal/agent/atomicdir"
	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/azure"
	"twelvefold.dev/internal/keyvault/envfile"
)

// delivery is what fetch and sync have in common: the plan, the way to Azure, and the volumes.
type delivery struct {
	*Agent
	log        *slog.Logger
	envFile    string
	filesDir   string
	volumesDir string
	binDir     string
	stateDir   string
}

func (d *delivery) flags(f *pflag.FlagSet) {
	f.StringVar(&d.envFile, "env-file", "/twelvefold/env/env", "the env file to write; where the plan wants exec, "+envfile.ExecFile+" beside it instead")
	f.StringVar(&d.filesDir, "files-dir", "/twelvefold/files", "the directory to write files below")
	f.StringVar(&d.volumesDir, "volumes-dir", "/twelvefold/volumes", "the directory that has the pod's other volumes that take files, by their names")
	f.StringVar(&d.binDir, "bin-dir", "/twelvefold/bin", "the directory to copy this program to, where the plan wants exec")
	f.StringVar(&d.stateDir, "state-dir", "/twelvefold/state", "the directory for notes between fetch and sync, if it exists")
}

// plan reads the orders.
func (d *delivery) plan() (keyvault.Plan, error) {
	plan, err := keyvault.ParsePlan(d.Env(keyvault.PlanEnv))
	if err != nil {
		return keyvault.Plan{}, fmt.Errorf("%w; the webhook writes it: are webhook and agent of the same version?", err)
	}
	if err := plan.Validate(); err != nil {
		return keyvault.Plan{}, err
	}
	return plan, nil
}

// client reads identity, proxy and trust from the environment.
func (d *delivery) client(log *slog.Logger) (*azure.Client, error) {
	proxy := httpproxy.Config{
		HTTPSProxy: firstOf(d.Env, "HTTPS_PROXY", "https_proxy"),
		NoProxy:    firstOf(d.Env, "NO_PROXY", "no_proxy"),
	}
	http, err := azure.HTTPClient(proxy.ProxyFunc(), []byte(d.Env(keyvault.TrustedCAEnv)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w; correct the policy's keyVault.trustedCA", keyvault.TrustedCAEnv, err)
	}
	return azure.New(azure.Config{
		Identity: azure.IdentityFromEnv(d.Env),
		HTTP:     http, Log: log, Now: d.Now, Retry: d.Retry,
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

// payload is what is to be written, and can be.
type payload struct {
	values values
	env    []byte // the content of the env file, or of exec's
}

func payloadOf(p keyvault.Plan, contents azure.Contents) (payload, error) {
	values, err := render(referencesOf(p), contents)
	if err != nil {
		return payload{}, err
	}
	encode := envfile.Encode
	if p.Exec {
		encode = envfile.EncodeExec
	}
	env, err := encode(entriesOf(p, values))
	return payload{values, env}, err
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

// write puts everything in place, what containers need for their start last.
func (d *delivery) write(p keyvault.Plan, out payload) error {
	for _, volume := range volumesOf(p) {
		if err := d.writeVolume(volume, filesOf(p, volume, out.values)); err != nil {
			return err
		}
	}
	if p.Exec {
		if err := d.copyExecutable(); err != nil {
			return volumeError("twelvefold-bin", err)
		}
	}
	if p.Exec || len(p.Env) > 0 {
		if err := writeEnvFile(d.envPath(p), out.env, envMode(p)); err != nil {
			return volumeError("twelvefold-env", err)
		}
	}
	return nil
}

func (d *delivery) envPath(p keyvault.Plan) string {
	if p.Exec {
		return filepath.Join(filepath.Dir(d.envFile), envfile.ExecFile)
	}
	return d.envFile
}

// volumesOf lists the volumes that take files; our own has an empty name.
func volumesOf(p keyvault.Plan) []string {
	var out []string
	for _, f := range p.Files {
		if !slices.Contains(out, f.Volume) {
			out = append(out, f.Volume)
		}
	}
	return out
}

// filesOf lists the files of a volume. Of an optional secret that is missing there is none.
func filesOf(p keyvault.Plan, volume string, values values) []atomicdir.File {
	var out []atomicdir.File
	for _, item := range p.Files {
		if value, ok := values[item.Reference]; ok && item.Volume == volume {
			out = append(out, atomicdir.File{Path: item.Path, Content: value, Mode: modeOf(item)})
		}
	}
	return out
}

func (d *delivery) volumeDir(volume string) string {
	if volume == "" {
		return d.filesDir
	}
	return filepath.Join(d.volumesDir, volume)
}

func (d *delivery) writeVolume(volume string, files []atomicdir.File) error {
	if err := atomicdir.Write(d.volumeDir(volume), files); err != nil {
		return volumeError(volume, err)
	}
	return nil
}

func volumeError(volume string, err error) error {
	return fmt.Errorf("cannot write to the volume %s: %w", cmp.Or(volume, "twelvefold-files"), err)
}
