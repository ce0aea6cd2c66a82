//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// applyFile applies a file of testdata in the namespace.
func (e *environment) applyFile(ctx context.Context, namespace, file string) error {
	manifest, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		return err
	}
	_, err = e.apply(ctx, namespace, string(manifest))
	return err
}

// apply applies the objects of a manifest as `kubectl apply --server-side` does, and returns the API server's warnings.
func (e *environment) apply(ctx context.Context, namespace, manifest string, options ...client.ApplyOption) (warnings []string, err error) {
	heard := &warningList{}
	config := rest.CopyConfig(e.config)
	config.WarningHandlerWithContext = heard
	c, err := client.New(config, client.Options{})
	if err != nil {
		return nil, err
	}
	options = append(options, client.FieldOwner("e2e"), client.ForceOwnership)
	for decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifest), 4096); ; {
		var object unstructured.Unstructured
		if err := decoder.Decode(&object); errors.Is(err, io.EOF) {
			return heard.all(), nil
		} else if err != nil {
			return nil, err
		}
		if namespaced, err := c.IsObjectNamespaced(&object); err != nil {
			return nil, err
		} else if namespaced && object.GetNamespace() == "" {
			object.SetNamespace(namespace)
		}
		if err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(&object), options...); err != nil {
			return heard.all(), fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
}

// warningList collects the warnings of several requests.
type warningList struct {
	mu   sync.Mutex
	list []string
}

func (w *warningList) HandleWarningHeaderWithContext(_ context.Context, _ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, text)
}

func (w *warningList) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.list)
}

// patience is for a busy machine: who waits in vain waits once.
const patience = 5 * time.Minute

// eventually asks until there is no error, and then returns; when patience ends it returns the last error.
func eventually(ctx context.Context, ask func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 300*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		err := ask(ctx)
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			last = err
		}
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("after %v: %w", patience, errors.Join(last, context.Cause(ctx)))
	}
	return nil
}

// rolledOut waits until a Deployment's new pods are all there are, and available.
func (e *environment) rolledOut(ctx context.Context, namespace, name string) error {
	err := eventually(ctx, func(ctx context.Context) error {
		d, err := e.kube.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return unfinished(d)
	})
	if err != nil {
		return fmt.Errorf("deployment %s/%s: %w\n%s", namespace, name, err, e.describe(context.WithoutCancel(ctx), namespace))
	}
	return nil
}

func unfinished(d *appsv1.Deployment) error {
	s, want := d.Status, *d.Spec.Replicas
	if s.ObservedGeneration < d.Generation || s.UpdatedReplicas != want || s.AvailableReplicas != want || s.Replicas != want {
		return fmt.Errorf("%d replicas, %d of them updated, %d available, want %d", s.Replicas, s.UpdatedReplicas, s.AvailableReplicas, want)
	}
	return nil
}

// pods lists the pods with a label, oldest first.
func (e *environment) pods(ctx context.Context, namespace, selector string) ([]corev1.Pod, error) {
	list, err := e.kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return list.Items, nil
}

// exec runs a command in a container and returns its stdout.
func (e *environment) exec(ctx context.Context, pod corev1.Pod, container string, argv ...string) (string, error) {
	request := e.kube.CoreV1().RESTClient().Post().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: argv, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(e.config, "GET", request.URL().String())
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	if err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr}); err != nil {
		return "", fmt.Errorf("%s in %s: %w\n%s", argv[0], pod.Name, err, stderr.String())
	}
	return stdout.String(), nil
}

// logs returns all that a container has written.
func (e *environment) logs(ctx context.Context, pod corev1.Pod, container string) (string, error) {
	raw, err := e.kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: container}).DoRaw(ctx)
	return string(raw), err
}

// containers are the names of all containers of a pod, in the order in which they start.
func containers(pod corev1.Pod) (names []string) {
	for _, c := range append(slices.Clone(pod.Spec.InitContainers), pod.Spec.Containers...) {
		names = append(names, c.Name)
	}
	return names
}

// describe tells what is the matter in a namespace: for the report of a failed test.
func (e *environment) describe(ctx context.Context, namespace string) string {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var out strings.Builder
	pods, err := e.pods(ctx, namespace, "")
	if err != nil {
		return err.Error()
	}
	for _, pod := range pods[:min(len(pods), 10)] {
		fmt.Fprintf(&out, "pod %s %s %s %v\n", pod.Name, pod.Status.Phase, pod.Status.Message, pod.Annotations)
		for _, s := range append(slices.Clone(pod.Status.InitContainerStatuses), pod.Status.ContainerStatuses...) {
			fmt.Fprintf(&out, "  container %s: %s, restarts %d\n", s.Name, s.State.String(), s.RestartCount)
			if text, err := e.logs(ctx, pod, s.Name); err == nil {
				fmt.Fprintf(&out, "%s\n", tail(text, 15))
			}
		}
	}
	events, err := e.kube.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{Limit: 200})
	if err != nil {
		return out.String() + err.Error()
	}
	for _, event := range events.Items {
		if event.Type != corev1.EventTypeNormal {
			fmt.Fprintf(&out, "event %s/%s %s: %s\n", event.InvolvedObject.Kind, event.InvolvedObject.Name, event.Reason, event.Message)
		}
	}
	return out.String()
}

// tail returns the last n lines.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return "    " + strings.Join(lines[max(0, len(lines)-n):], "\n    ")
}
