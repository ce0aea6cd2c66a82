//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Secrets of Key Vault arrive in the container, got with the pod's own token, and are nowhere else.
func TestKeyVault(t *testing.T) {
	p := optedIn(t, "keyvault")
	// The values differ from run to run; nothing but the emulator is told.
	secrets := map[string]string{}
	for _, name := range []string{"db-password", "url-password", "api-key", "tls"} {
		secrets[name] = "e2e" + rand.Text()
	}
	secrets["api-key"] += ` $HOME "two"  $(DB_URL) \n ü#=` // what shells and parsers would change
	for name, value := range secrets {
		p.setSecret(shopVault, name, value)
	}

	p.applyManifest("keyvault.yaml")
	pod := p.running("shop")

	for name, want := range map[string]string{
		"DB_PASSWORD": secrets["db-password"],
		"DB_URL":      "postgres://shop:" + secrets["url-password"] + "@db/shop",
		"API_KEY":     secrets["api-key"],
	} {
		got := p.output(pod, "printenv", name)
		if strings.TrimSuffix(got, "\n") != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := p.output(pod, "cat", "/var/run/secrets/keyvault/tls.pem"); got != secrets["tls"] {
		t.Errorf("tls.pem is %q, want %q", got, secrets["tls"])
	}
	if mounts := fmt.Sprint(pod.Spec.Containers[0].VolumeMounts); strings.Contains(mounts, "twelvefold-token") {
		t.Errorf("the application can read the token for Key Vault: %s", mounts)
	}

	var values []string
	for _, value := range secrets {
		values = append(values, value[:len("e2e")+26]) // what rand.Text made of it
	}
	notLeaked(t, p, values)
}

const shopVault = "shop.vault.azure.net"

// notLeaked searches for values where none may be.
func notLeaked(t *testing.T, p place, values []string) {
	t.Run("values are not in etcd", func(t *testing.T) { notInEtcd(t, p, values) })
	t.Run("values are not in objects and logs", func(t *testing.T) { notInObjectsAndLogs(t, p, values) })
}

// setSecret makes a new version of a secret in the emulator.
func (p place) setSecret(host, name, value string) {
	p.t.Helper()
	p.put("vaults/"+host+"/secrets", map[string]string{"name": name, "value": value})
}

// notInEtcd searches etcd's own files: what was overwritten or deleted is still in them.
func notInEtcd(t *testing.T, p place, values []string) {
	marker := "control" + rand.Text() // shows that the search finds what is there
	_, err := p.kube.CoreV1().ConfigMaps(p.name).Create(t.Context(),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "marker"}, Data: map[string]string{"marker": marker}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dump := exec.CommandContext(t.Context(), "docker", "exec", clusterName+"-control-plane", "tar", "-C", "/var/lib/etcd", "-c", "--warning=no-file-changed", "member")
	var complaints strings.Builder
	dump.Stderr = &complaints
	files, err := dump.Output()
	if exit, ok := err.(*exec.ExitError); err != nil && (!ok || exit.ExitCode() != 1) { // 1: a file changed while it was read
		t.Fatalf("reading etcd's files: %v\n%s", err, complaints.String())
	}
	if !bytes.Contains(files, []byte(marker)) {
		t.Fatalf("%d bytes of etcd lack even the marker that was just written", len(files))
	}
	for i, value := range values {
		for _, form := range forms(value) {
			if at := bytes.Index(files, []byte(form)); at >= 0 {
				t.Errorf("value %d of %d is in etcd, near %q", i+1, len(values), printable(files[max(0, at-300):at]))
			}
		}
	}
}

// forms are the value and what base64 makes of its inside, wherever it stands in a longer text.
func forms(value string) []string {
	all := []string{value}
	for shift := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + value))
		all = append(all, encoded[4:len(encoded)-4])
	}
	return all
}

func printable(raw []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, string(raw))
}

// notInObjectsAndLogs searches what people can read: objects, events, the logs of all containers, the kubelets' own.
func notInObjectsAndLogs(t *testing.T, p place, values []string) {
	ctx := t.Context()
	texts := map[string]string{}
	for _, resource := range []string{"pods", "replicasets", "deployments", "events", "configmaps", "secrets"} {
		path := "/api/v1/"
		if resource == "replicasets" || resource == "deployments" {
			path = "/apis/apps/v1/"
		}
		raw, err := p.kube.CoreV1().RESTClient().Get().AbsPath(path + resource).DoRaw(ctx)
		if err != nil {
			t.Fatal(err)
		}
		texts[resource] = string(raw)
	}
	for _, namespace := range []string{p.name, webhookPlace, emulatorPlace} {
		pods, err := p.pods(ctx, namespace, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, pod := range pods {
			for _, container := range containers(pod) {
				text, err := p.logs(ctx, pod, container)
				if apierrors.IsNotFound(err) { // the pod was being deleted
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				texts["log of "+container+" in "+pod.Name] = text
			}
		}
	}
	for _, node := range []string{"control-plane", "worker"} {
		text, err := journal(ctx, clusterName+"-"+node)
		if err != nil {
			t.Fatal(err)
		}
		texts["journal of "+node] = text
	}
	for where, text := range texts {
		for i, value := range values {
			for _, form := range forms(value) {
				if strings.Contains(text, form) {
					t.Errorf("value %d of %d is in %s", i+1, len(values), where)
				}
			}
		}
	}
	if !strings.Contains(texts["pods"], p.name) || !strings.Contains(texts["journal of worker"], "kubelet") {
		t.Error("the search looked at the wrong things: not even the pods' namespace and the kubelet's name are in them")
	}
}

func journal(ctx context.Context, node string) (string, error) {
	return command(ctx, "docker", "exec", node, "journalctl", "--no-pager", "-u", "kubelet", "-u", "containerd")
}
