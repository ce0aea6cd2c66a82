// Package demo shows the whole of Twelvefold without a cluster: the emulator of Key Vault, the real webhook over TLS on
// loopback, and the examples, sent as the API server sends them.
package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/diff"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"twelvefold.dev/examples"
	"twelvefold.dev/internal/admission"
	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/podpatch"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/terminal"
)

// clientID is the identity of the examples' service account.
const clientID = "22222222-2222-4222-8222-222222222222"

// vault is where the examples' secrets are.
const vault = "shop.vault.azure.net"

// Run shows the demo and ends by itself.
func Run(ctx context.Context, out io.Writer) error {
	cluster, err := emulator.NewCluster("https://demo.cluster.example")
	if err != nil {
		return err
	}
	azure, err := emulator.Start(ctx, emulator.Config{
		Issuers: []emulator.Issuer{cluster.Issuer()},
		Seed: emulator.Seed{
			Vaults: []emulator.Vault{{Host: vault, Secrets: []emulator.Secret{{Name: "db-password", Value: "correct horse battery staple"}}}},
			Identities: []emulator.Identity{{ClientID: clientID,
				Federated: []emulator.Federated{{Subject: "system:serviceaccount:shop:api"}},
				Roles:     map[string]emulator.Role{vault: emulator.SecretsUser}}},
		},
	})
	if err != nil {
		return err
	}
	defer azure.Close()

	inForce, err := demoPolicy(azure)
	if err != nil {
		return err
	}
	known, shown, err := readExamples()
	if err != nil {
		return err
	}
	served, err := startWebhook(&admission.Webhooks{Cluster: known, AgentImage: "twelvefold-agent",
		Policy: func() *policy.Policy { return inForce }})
	if err != nil {
		return err
	}
	defer served.close()

	d := demo{out: out, paint: terminal.For(out), webhook: served, cluster: cluster}
	fmt.Fprintf(out, "Key Vault's emulator is at %s, the webhook at %s.\n", azure.ProxyURL(), served.url)
	for _, example := range shown {
		if err := d.show(ctx, example); err != nil {
			return fmt.Errorf("%s: %w", example.File, err)
		}
	}
	return nil
}

// demoPolicy is the built-in policy, with the way to the emulator.
func demoPolicy(azure *emulator.Emulator) (*policy.Policy, error) {
	document, err := yaml.Marshal(map[string]any{
		"apiVersion": policy.APIVersion, "kind": policy.Kind,
		"spec": map[string]any{"keyVault": map[string]any{"proxy": azure.ProxyURL(), "trustedCA": string(azure.CAPEM())}},
	})
	if err != nil {
		return nil, err
	}
	return policy.Parse(document, rules.Catalogue{})
}

type demo struct {
	out     io.Writer
	paint   terminal.Painter
	webhook *webhook
	cluster *emulator.Cluster
}

// show applies a workload: the workload itself is validated, then the pod that its controller makes is mutated and
// validated. It ends where the API server would.
func (d *demo) show(ctx context.Context, workload manifest.Object) error {
	fmt.Fprintf(d.out, "\n%s\n", d.paint.Bold(fmt.Sprintf("kubectl apply -f examples/%s   # %s/%s", workload.File, workload.Kind, workload.Name)))
	applied, err := d.webhook.ask(ctx, "/validate", requestFor(workload))
	if err != nil {
		return err
	}
	d.warn(applied)
	pod, err := podOf(workload)
	if err != nil {
		return err
	}
	start := time.Now()
	mutated, err := d.webhook.ask(ctx, "/mutate", requestFor(pod))
	if err != nil {
		return err
	}
	before := pod
	if len(mutated.Patch) > 0 {
		if pod.JSON, err = podpatch.Apply(mutated.Patch, pod.JSON); err != nil {
			return err
		}
	}
	validated, err := d.webhook.ask(ctx, "/validate", requestFor(pod))
	if err != nil {
		return err
	}
	took := time.Since(start).Round(100 * time.Microsecond)
	for _, response := range []*admissionv1.AdmissionResponse{mutated, validated} {
		if !response.Allowed {
			d.refuse(response)
			return nil
		}
	}
	fmt.Fprintf(d.out, "%s in %v\n", d.paint.Green("admitted, and mutated"), took)
	if err := d.diff(before.JSON, pod.JSON); err != nil {
		return err
	}
	return d.fetch(ctx, pod)
}

func (d *demo) warn(response *admissionv1.AdmissionResponse) {
	for _, warning := range response.Warnings {
		fmt.Fprintf(d.out, "%s %s\n", d.paint.Yellow("Warning:"), warning)
	}
}

// refuse prints a denial as kubectl does.
func (d *demo) refuse(response *admissionv1.AdmissionResponse) {
	details := response.Result.Details
	fmt.Fprintf(d.out, "%s The %s %q is invalid:\n", d.paint.Red("its pod is refused:"), details.Kind, details.Name)
	for _, cause := range details.Causes {
		fmt.Fprintf(d.out, "* %s: %s\n", cause.Field, cause.Message)
	}
}

func (d *demo) diff(before, after []byte) error {
	old, err := yaml.JSONToYAML(before)
	if err != nil {
		return err
	}
	mutated, err := yaml.JSONToYAML(after)
	if err != nil {
		return err
	}
	text := string(diff.Diff("the pod as written", old, "the pod as it runs", mutated))
	_, text, _ = strings.Cut(text, "\n") // the line of the diff command
	_, err = io.WriteString(d.out, d.paint.Diff(text))
	return err
}

// readExamples are what the cluster knows, and the workloads to show.
func readExamples() (knowledge, []manifest.Object, error) {
	known := knowledge{labels: map[string]map[string]string{}, accounts: map[string]map[string]string{}, objects: map[string][]byte{}}
	var workloads []manifest.Object
	files, err := examples.FS.ReadDir(".")
	if err != nil {
		return known, nil, err
	}
	for _, file := range files {
		text, err := examples.FS.ReadFile(file.Name())
		if err != nil {
			return known, nil, err
		}
		objects, err := manifest.Read(bytes.NewReader(text), file.Name())
		if err != nil {
			return known, nil, err
		}
		for _, o := range objects {
			if _, isWorkload, err := o.Template(); err != nil {
				return known, nil, err
			} else if isWorkload {
				workloads = append(workloads, o)
			} else if err := known.add(o); err != nil {
				return known, nil, err
			}
		}
	}
	return known, workloads, nil
}

// knowledge is what the webhook knows of the demo's cluster.
type knowledge struct {
	labels, accounts map[string]map[string]string
	objects          map[string][]byte // by kind/namespace/name
}

func (k knowledge) add(o manifest.Object) error {
	var meta struct {
		Metadata struct{ Labels, Annotations map[string]string }
	}
	err := json.Unmarshal(o.JSON, &meta)
	switch o.Kind {
	case "Namespace":
		k.labels[o.Name] = meta.Metadata.Labels
	case "ServiceAccount":
		k.accounts[o.Namespace+"/"+o.Name] = meta.Metadata.Annotations
	case "ConfigMap":
		if meta.Metadata.Labels[policy.KeyVaultLabel] == "true" {
			k.objects[o.Kind+"/"+o.Namespace+"/"+o.Name] = o.JSON
		}
	case "SecretProviderClass", "AzureKeyVaultSecret":
		k.objects[o.Kind+"/"+o.Namespace+"/"+o.Name] = o.JSON
	}
	return err
}

func (k knowledge) NamespaceLabels(_ context.Context, name string) map[string]string {
	return k.labels[name]
}

func (k knowledge) ServiceAccount(_ context.Context, namespace, name string) (map[string]string, error) {
	return k.accounts[namespace+"/"+name], nil
}

func (k knowledge) Object(_ context.Context, namespace, kind, name string) []byte {
	return k.objects[kind+"/"+namespace+"/"+name]
}

func (k knowledge) Monitored(string, *corev1.Pod) string { return "" }

func (k knowledge) Defaults(context.Context, string) (policy.Defaults, bool) {
	return policy.Defaults{}, true
}

func (k knowledge) Kubernetes() policy.Kubernetes {
	return policy.Kubernetes{APIServer: policy.NewestKubernetes}
}
