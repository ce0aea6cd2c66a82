//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	clusterName   = "twelvefold-e2e"
	nodeImage     = "kindest/node:v1.37.2"
	tag           = "e2e"
	applications  = "twelvefold-e2e" // repository of the images in images/Dockerfile
	webhookName   = "twelvefold-webhook"
	webhookPlace  = "twelvefold" // its namespace
	emulatorPlace = "azure"
)

// environment is a running cluster with Twelvefold in it.
type environment struct {
	dir        string // for the kubeconfig and other files of this run
	kind, helm string
	config     *rest.Config
	kube       *kubernetes.Clientset
}

// setUp returns an environment, also with an error where there may be a cluster to delete.
func setUp(ctx context.Context) (*environment, error) {
	if err := requirements(ctx); err != nil {
		return nil, err
	}
	step("kind and helm")
	e := &environment{}
	var err error
	if e.dir, err = os.MkdirTemp("", clusterName); err != nil {
		return nil, err
	}
	if e.kind, err = tool(ctx, "kind"); err != nil {
		return nil, err
	}
	if e.helm, err = tool(ctx, "helm"); err != nil {
		return nil, err
	}

	step("cluster and images")
	parts, both := errgroup.WithContext(ctx)
	parts.Go(func() error { return e.createCluster(both) })
	parts.Go(func() error { return buildImages(both) })
	if err := parts.Wait(); err != nil {
		return e, err
	}
	step("loading images")
	// The control plane is tainted: nothing of ours runs there.
	load := []string{"load", "docker-image", "--name", clusterName, "--nodes", clusterName + "-worker"}
	if _, err := e.run(ctx, e.kind, append(load, images()...)...); err != nil {
		return e, err
	}
	if err := e.connect(); err != nil {
		return e, err
	}
	step("emulator")
	ca, err := e.installEmulator(ctx)
	if err != nil {
		return e, err
	}
	step("helm install")
	return e, e.installTwelvefold(ctx, ca)
}

// requirements says at once what is missing, instead of failing somewhere in the middle.
func requirements(ctx context.Context) error {
	if _, err := command(ctx, "docker", "info"); err != nil {
		return fmt.Errorf("these tests need a running Docker: %w", err)
	}
	if _, err := command(ctx, "docker", "image", "inspect", nodeImage); err != nil {
		if _, pullErr := command(ctx, "docker", "pull", "-q", nodeImage); pullErr != nil {
			return fmt.Errorf("these tests need the image %s: it isn't there and can't be pulled: %w", nodeImage, pullErr)
		}
	}
	return nil
}

// tool is the path of a program that tools/go.mod pins.
func tool(ctx context.Context, name string) (string, error) {
	out, err := command(ctx, "go", "tool", "-modfile=tools/go.mod", "-n", name)
	return strings.TrimSpace(out), err
}

func (e *environment) kubeconfig() string { return filepath.Join(e.dir, "kubeconfig") }

func (e *environment) createCluster(ctx context.Context) error {
	existing, err := command(ctx, e.kind, "get", "clusters")
	if err != nil {
		return err
	}
	if slices.Contains(strings.Fields(existing), clusterName) {
		if *keep {
			_, err := command(ctx, e.kind, "export", "kubeconfig", "--name", clusterName, "--kubeconfig", e.kubeconfig())
			return err
		}
		if _, err := command(ctx, e.kind, "delete", "cluster", "--name", clusterName, "--kubeconfig", e.kubeconfig()); err != nil {
			return fmt.Errorf("deleting what an earlier run left: %w", err)
		}
	}
	_, err = command(ctx, e.kind, "create", "cluster", "--name", clusterName, "--image", nodeImage, "--wait", "3m",
		"--config", "test/e2e/testdata/kind.yaml", "--kubeconfig", e.kubeconfig())
	return err
}

func (e *environment) deleteCluster(ctx context.Context) error {
	step("deleting the cluster")
	_, err := command(ctx, e.kind, "delete", "cluster", "--name", clusterName, "--kubeconfig", e.kubeconfig())
	return err
}

// debianImages are the targets of images/Dockerfile.
func debianImages() []string {
	return []string{
		"app", "redis", "redis-exporter", "nginx", "nginx-exporter", "httpd", "apache-exporter", "memcached", "memcached-exporter",
		"postgres", "postgres-exporter", "mariadb", "mysqld-exporter", "gunicorn", "jvm", "jmx-exporter",
	}
}

// moduleImages are the targets of images/prometheus.Dockerfile.
func moduleImages() []string { return []string{"prometheus", "statsd-exporter"} }

func images() (all []string) {
	for _, program := range []string{"webhook", "agent", "emulator"} {
		all = append(all, "twelvefold-"+program+":"+tag)
	}
	for _, name := range append(debianImages(), moduleImages()...) {
		all = append(all, applications+"/"+name+":"+tag)
	}
	return all
}

func buildImages(ctx context.Context) error {
	if _, err := command(ctx, "make", "-s", "images", "TAG="+tag, "REGISTRY="); err != nil {
		return err
	}
	if err := dockerBuild(ctx, debianImages(), "Dockerfile", "test/e2e/images"); err != nil {
		return err
	}
	// Of all discoveries only that of Kubernetes: with all of them, building takes several times as long.
	_, err := command(ctx, "env", "CGO_ENABLED=0", "go", "build", "-C", "test/e2e/prometheus", "-o", "../../../dist/prometheus/",
		"-tags", "remove_all_sd,enable_kubernetes_sd", "-ldflags", "-s -w",
		"github.com/prometheus/prometheus/cmd/prometheus", "github.com/prometheus/statsd_exporter")
	if err != nil {
		return err
	}
	return dockerBuild(ctx, moduleImages(), "prometheus.Dockerfile", "dist/prometheus")
}

// dockerBuild makes an image of each target.
func dockerBuild(ctx context.Context, targets []string, file, context string) error {
	for _, name := range targets {
		if _, err := command(ctx, "docker", "build", "-q", "-f", "test/e2e/images/"+file, "--target", name, "-t", applications+"/"+name+":"+tag, context); err != nil {
			return err
		}
	}
	return nil
}

func (e *environment) connect() (err error) {
	if e.config, err = clientcmd.BuildConfigFromFlags("", e.kubeconfig()); err != nil {
		return err
	}
	e.config.QPS = -1 // no limit on our side: its waits would hide what a deadline cut short
	e.config.WarningHandler = rest.NoWarnings{}
	e.kube, err = kubernetes.NewForConfig(e.config)
	return err
}

// installEmulator returns the CA that the emulator made for itself.
func (e *environment) installEmulator(ctx context.Context) (ca []byte, err error) {
	if err := e.applyFile(ctx, emulatorPlace, "emulator.yaml"); err != nil {
		return nil, err
	}
	if err := e.rolledOut(ctx, emulatorPlace, "emulator"); err != nil {
		return nil, err
	}
	return e.emulator(ctx, http.MethodGet, "ca.pem", nil)
}

// emulator calls the emulator's test interface through the API server.
func (e *environment) emulator(ctx context.Context, method, path string, body []byte) (answer []byte, err error) {
	unreachable := eventually(ctx, func(ctx context.Context) error {
		answer, err = e.kube.CoreV1().RESTClient().Verb(method).
			Namespace(emulatorPlace).Resource("services").Name("emulator:8080").SubResource("proxy").Suffix(path).
			SetHeader("Content-Type", "application/json").Body(body).DoRaw(ctx)
		if apierrors.IsServiceUnavailable(err) { // its pod is ready a moment before the Service has it
			return err
		}
		return nil
	})
	return answer, cmp.Or(unreachable, err)
}

func (e *environment) installTwelvefold(ctx context.Context, ca []byte) error {
	for _, file := range []string{"namespace.yaml", "../../integration/testdata/crds/azurekeyvaultsecrets.yaml", "../../integration/testdata/crds/secretproviderclasses.yaml"} {
		if err := e.applyFile(ctx, webhookPlace, file); err != nil {
			return err
		}
	}
	if err := os.WriteFile(e.caFile(), ca, 0o600); err != nil {
		return err
	}
	// The annotation replaces the pods of an earlier run, whose images may differ though their names don't.
	return e.helmUpgrade(ctx, "--set-string", "podAnnotations.e2e="+started.Format(time.RFC3339))
}

// caFile holds the emulator's authority.
func (e *environment) caFile() string { return filepath.Join(e.dir, "ca.pem") }

// helmUpgrade installs the chart, or upgrades it. What is not in the arguments is as in testdata/values.yaml.
func (e *environment) helmUpgrade(ctx context.Context, args ...string) error {
	args = append([]string{"upgrade", "--install", webhookPlace, "charts/twelvefold", "--namespace", webhookPlace,
		"--values", "test/e2e/testdata/values.yaml", "--set-file", "policy.keyVault.trustedCA=" + e.caFile(),
		"--wait", "--timeout", patience.String()}, args...)
	if _, err := e.run(ctx, e.helm, args...); err != nil {
		return fmt.Errorf("%w\n%s", err, e.describe(ctx, webhookPlace))
	}
	return e.reachable(ctx)
}

// reachable waits until the API server reaches the webhook's Service: its pods are ready a moment before kube-proxy on
// the API server's node knows them.
func (e *environment) reachable(ctx context.Context) error {
	const probe = "e2e-reachable"
	_, err := e.apply(ctx, "", `{apiVersion: v1, kind: Namespace, metadata: {name: `+probe+`, labels: {twelvefold.dev/admission: enabled}}}`)
	if err != nil {
		return err
	}
	return eventually(ctx, func(ctx context.Context) error {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: probe}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app:1"}}}}
		_, err := e.kube.CoreV1().Pods(probe).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	})
}

// run is command with the cluster's kubeconfig.
func (e *environment) run(ctx context.Context, name string, args ...string) (string, error) {
	return command(ctx, "env", append([]string{"KUBECONFIG=" + e.kubeconfig(), name}, args...)...)
}

// command runs a program in the repository's root. Its error holds what the program printed.
func command(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = filepath.Join("..", "..")
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(name), strings.Join(args, " "), err, out, complaints.String())
	}
	return string(out), nil
}
