package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"twelvefold.dev/internal/agent"
	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/manifest"
)

// podOf is the pod that a workload's controller makes.
func podOf(workload manifest.Object) (manifest.Object, error) {
	template, _, err := workload.Template()
	if err != nil {
		return manifest.Object{}, err
	}
	var pod map[string]any
	if err := json.Unmarshal(template.JSON, &pod); err != nil {
		return manifest.Object{}, err
	}
	pod["apiVersion"], pod["kind"] = "v1", "Pod"
	meta, _ := pod["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
		pod["metadata"] = meta
	}
	meta["generateName"], meta["namespace"] = workload.Name+"-", workload.Namespace
	meta["ownerReferences"] = []metav1.OwnerReference{{APIVersion: workload.APIVersion, Kind: workload.Kind, Name: workload.Name, Controller: new(true)}}
	data, err := json.Marshal(pod)
	if err != nil {
		return manifest.Object{}, err
	}
	return manifest.FromJSON(data)
}

// requestFor is how the API server asks about a new object that a controller makes.
func requestFor(o manifest.Object) *admissionv1.AdmissionRequest {
	kind := schema.FromAPIVersionAndKind(o.APIVersion, o.Kind)
	return &admissionv1.AdmissionRequest{
		UID:       types.UID("demo-" + o.Name),
		Kind:      metav1.GroupVersionKind(kind),
		Namespace: o.Namespace,
		Operation: admissionv1.Create,
		UserInfo:  authenticationv1.UserInfo{Username: "system:serviceaccount:kube-system:replicaset-controller"},
		Object:    runtime.RawExtension{Raw: o.JSON},
	}
}

// fetch does what the kubelet would: it runs the init container that was injected, with its environment and a token of
// the pod's service account, and then tells which variables the containers get. Values are not shown.
func (d *demo) fetch(ctx context.Context, object manifest.Object) error {
	var pod corev1.Pod
	if err := json.Unmarshal(object.JSON, &pod); err != nil {
		return err
	}
	if len(pod.Spec.InitContainers) == 0 || pod.Spec.InitContainers[0].Name != "twelvefold-fetch" {
		return nil
	}
	directory, err := os.MkdirTemp("", "twelvefold-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	token, err := d.cluster.Token(object.Namespace, pod.Spec.ServiceAccountName)
	if err != nil {
		return err
	}
	tokenFile, envFile := filepath.Join(directory, "token"), filepath.Join(directory, "env")
	if err := os.WriteFile(tokenFile, []byte(token), 0o600); err != nil {
		return err
	}
	env := map[string]string{}
	for _, e := range pod.Spec.InitContainers[0].Env {
		env[e.Name] = e.Value
	}
	env["AZURE_FEDERATED_TOKEN_FILE"] = tokenFile
	var log strings.Builder
	a := &agent.Agent{Env: func(name string) string { return env[name] }, Stdout: &log, Stderr: &log}
	code := a.Run(ctx, append(pod.Spec.InitContainers[0].Args,
		"--env-file", envFile, "--files-dir", directory, "--termination-log", filepath.Join(directory, "message")))
	if code != 0 {
		return fmt.Errorf("fetch ended with %d:\n%s", code, log.String())
	}
	delivered, err := os.ReadFile(envFile)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "%s the injected container twelvefold-fetch, against the emulator:\n", d.paint.Green("ran"))
	plan, err := keyvault.ParsePlan(env[keyvault.PlanEnv])
	if err != nil {
		return err
	}
	for _, item := range plan.Env {
		if !strings.Contains(string(delivered), item.Key+"=") {
			return fmt.Errorf("%s was not delivered", item.EnvName)
		}
		fmt.Fprintf(d.out, "  %s is the secret %s of %s, read as %s\n", item.EnvName, item.Name, item.Vault, env["AZURE_CLIENT_ID"])
	}
	return nil
}
