//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
)

// Whatever a reference looks like, and wherever it stands, the container has the secret there.
func TestKeyVaultForms(t *testing.T) {
	p := optedIn(t, "forms")
	secrets := map[string]string{}
	for _, name := range []string{"app-service", "bank-vaults", "akv2k8s", "table", "configmap", "annotation", "flexvolume", "csi"} {
		secrets[name] = "e2e" + rand.Text()
		p.setSecret(shopVault, "forms-"+name, secrets[name])
	}
	p.putCertificate("forms-pfx")
	p.putKey("forms-key")
	p.applyManifest("keyvault-forms.yaml")
	pod := p.running("forms")

	for name, want := range map[string]string{
		"FROM_APP_SERVICE": secrets["app-service"],
		"FROM_BANK_VAULTS": secrets["bank-vaults"],
		"FROM_AKV2K8S":     secrets["akv2k8s"],
		"FROM_TABLE":       secrets["table"],
		"FROM_CONFIGMAP":   secrets["configmap"],
		"FROM_ANNOTATION":  secrets["annotation"],
		"COMPOSED":         "text " + secrets["table"] + " " + secrets["annotation"],
		"COLOUR":           "green",
	} {
		if got := p.output(pod, "printenv", name); strings.TrimSuffix(got, "\n") != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for file, want := range map[string]string{
		"/var/run/secrets/keyvault/from-annotation": secrets["annotation"],
		"/kvmnt/from-flexvolume":                    secrets["flexvolume"],
		"/mnt/secrets/from-csi":                     secrets["csi"],
	} {
		if got := p.output(pod, "cat", file); got != want {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
	for file, want := range map[string][]string{
		"/mnt/secrets/tls.pem":  {"PRIVATE KEY", "CERTIFICATE"},
		"/mnt/secrets/cert.pem": {"CERTIFICATE"},
		"/mnt/secrets/key.pem":  {"PUBLIC KEY"},
	} {
		if got := blockTypes(p.output(pod, "cat", file)); strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("%s holds %q, want %q", file, got, want)
		}
	}

	notLeaked(t, p, values(secrets))
}

// blockTypes are what a PEM file holds, in its order.
func blockTypes(text string) (types []string) {
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		types = append(types, block.Type)
	}
	return types
}

// putCertificate has the emulator make a certificate; its private key is part of the secret of the same name.
func (p place) putCertificate(name string) {
	p.t.Helper()
	p.put("vaults/"+shopVault+"/certificates", map[string]any{"name": name})
}

// putKey has the emulator make a key.
func (p place) putKey(name string) {
	p.t.Helper()
	p.put("vaults/"+shopVault+"/keys", map[string]any{"name": name})
}

// put changes something in the emulator.
func (p place) put(path string, what any) {
	p.t.Helper()
	body, err := json.Marshal(what)
	if err != nil {
		p.t.Fatal(err)
	}
	p.tell(http.MethodPut, path, body)
}

// tell calls the emulator's test interface, also at the end of the test.
func (p place) tell(method, path string, body []byte) {
	p.t.Helper()
	if answer, err := p.emulator(context.WithoutCancel(p.t.Context()), method, path, body); err != nil {
		p.t.Fatalf("%s: %v: %s", path, err, answer)
	}
}

func values(secrets map[string]string) (all []string) {
	for _, value := range secrets {
		all = append(all, value)
	}
	return all
}
