// Package charts tests what the Helm chart renders: every object is decoded strictly into the type that
// the API server knows it by, so that a misplaced field fails here and not at a user's installation.
package charts

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	k8syaml "sigs.k8s.io/yaml"
)

const namespace = "tf-system"

// helm is the path of the Helm that tools/go.mod pins, built at the first call.
var helm = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("go", "tool", "-modfile=tools/go.mod", "-n", "helm")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("building helm from tools/go.mod: %w\n%s", err, stderr(err))
	}
	return strings.TrimSpace(string(out)), nil
})

// runHelm returns what helm prints, or an error that holds what it complains of.
func runHelm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path, err := helm()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, args...).Output()
	if err != nil {
		return string(out), fmt.Errorf("helm %s: %w\n%s", strings.Join(args, " "), err, stderr(err))
	}
	return string(out), nil
}

func stderr(err error) string {
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return string(exit.Stderr)
	}
	return ""
}

// template renders the chart with the values given as key=value.
func template(t *testing.T, values ...string) (string, error) {
	t.Helper()
	args := []string{"template", "twelvefold", "twelvefold", "--namespace", namespace, "--kube-version", "1.37.2"}
	for _, v := range values {
		args = append(args, "--set", v)
	}
	return runHelm(t, args...)
}

// objects are rendered objects by "Kind/name".
type objects map[string]runtime.Object

func render(t *testing.T, values ...string) objects {
	t.Helper()
	text, err := template(t, values...)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, text)
}

// parse reads what helm has rendered.
func parse(t *testing.T, text string) objects {
	t.Helper()
	result := objects{}
	for doc := yaml.NewDecoder(strings.NewReader(text)); ; {
		var node yaml.Node
		if err := doc.Decode(&node); err == io.EOF {
			return result
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		var raw bytes.Buffer
		if err := yaml.NewEncoder(&raw).Encode(&node); err != nil {
			t.Fatal(err)
		}
		name, object := decode(t, raw.Bytes())
		if _, twice := result[name]; twice {
			t.Errorf("%s is rendered twice", name)
		}
		result[name] = object
	}
}

var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, rbacv1.AddToScheme, policyv1.AddToScheme,
		networkingv1.AddToScheme, admissionv1.AddToScheme, coordinationv1.AddToScheme,
	} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return s
}()

// decode refuses fields that the object's type doesn't have, and kinds that are neither Kubernetes', cert-manager's nor PodMonitors.
func decode(t *testing.T, raw []byte) (name string, object runtime.Object) {
	t.Helper()
	var u unstructured.Unstructured
	if err := k8syaml.Unmarshal(raw, &u.Object); err != nil {
		t.Fatal(err)
	}
	kind := u.GroupVersionKind()
	name = kind.Kind + "/" + u.GetName()
	object, err := scheme.New(kind)
	if runtime.IsNotRegisteredError(err) && kind == (schema.GroupVersionKind{Group: "cert-manager.io", Version: "v1", Kind: "Certificate"}) {
		return name, &u
	}
	if isMonitor(kind) {
		object, err = &podMonitor{}, nil
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := k8syaml.UnmarshalStrict(raw, object); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, raw)
	}
	return name, object
}

// get returns one rendered object as its type.
func get[T runtime.Object](t *testing.T, from objects, name string) T {
	t.Helper()
	object, ok := from[name].(T)
	if !ok {
		t.Fatalf("%s is %T, want %T", name, from[name], *new(T))
	}
	return object
}
