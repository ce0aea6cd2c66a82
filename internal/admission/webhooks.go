package admission

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
)

// Cluster is what the webhooks know of the cluster. It answers from caches.
type Cluster interface {
	// NamespaceLabels are the labels of a namespace.
	NamespaceLabels(ctx context.Context, name string) map[string]string
	// ServiceAccount are the annotations of a service account; an error says that nobody could tell.
	ServiceAccount(ctx context.Context, namespace, name string) (map[string]string, error)
	// Object is an object that a pod may take references from, as [policy.Lookup] has it.
	Object(ctx context.Context, namespace, kind, name string) []byte
	// Monitored names the monitor that scrapes a pod of the namespace, as [policy.Lookup] has it.
	Monitored(namespace string, pod *corev1.Pod) string
	// Defaults are those of a namespace, as [policy.Lookup] has it.
	Defaults(ctx context.Context, namespace string) (defaults policy.Defaults, known bool)
	// Kubernetes are the versions of the API server and of the oldest kubelet.
	Kubernetes() policy.Kubernetes
}

// Webhooks are the endpoints that the API server calls.
type Webhooks struct {
	Cluster    Cluster
	Policy     func() *policy.Policy // the one in force
	AgentImage string
	// Secret tells what is known of objects of vaults, as [policy.Lookup] has it; nil if nobody verifies.
	Secret func(keyvault.Object) policy.Metadata
	// Entrypoint makes, for one request, the lookup of what images start.
	Entrypoint func(context.Context) func(image string) (entrypoint, cmd []string, err error)
	Log        *slog.Logger
	Metrics    *Metrics
	Now        func() time.Time
}

// Register adds the endpoints /mutate, /validate and /validate-policy.
func (w *Webhooks) Register(mux interface{ Register(string, http.Handler) }) {
	for name, review := range map[string]reviewer{"mutate": w.mutate, "validate": w.validate, "validate-policy": w.validatePolicy} {
		mux.Register("/"+name, handler{webhook: name, review: review, log: w.Log, metrics: w.Metrics})
	}
}

// mutate makes a new pod a twelve-factor pod.
func (w *Webhooks) mutate(r *http.Request, request *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
	if request.Kind.Kind != "Pod" || request.Operation != admissionv1.Create || request.SubResource != "" {
		return allowed(), nil
	}
	input := w.input(r.Context(), request)
	verdict, err := review.Mutate(input)
	if err != nil {
		return invalid(input.Object, err), nil
	}
	w.Metrics.found("mutate", request, verdict)
	response := respond(input.Object, verdict.Findings, false)
	return response, patch(response, verdict.Patch)
}

// validate judges pods, ephemeral containers and the templates of workloads.
func (w *Webhooks) validate(r *http.Request, request *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
	unchanged, err := nothingToJudge(request)
	if err != nil || unchanged {
		return allowed(), err
	}
	input := w.input(r.Context(), request)
	verdict, err := review.Judge(input)
	if err != nil {
		return invalid(input.Object, err), nil
	}
	w.Metrics.found("validate", request, verdict)
	response := respond(input.Object, verdict.Findings, request.Kind.Kind != "Pod" && !input.Policy.DeniesTemplates())
	if err := policy.CheckProfileLabel(input.Facts.NamespaceLabels); err != nil { // nobody else tells the namespace's owner
		response.Warnings = Warnings(append([]string{policy.OneLine("the namespace's label has no effect: " + err.Error())}, response.Warnings...))
	}
	return response, nil
}

// validatePolicy refuses a policy that would not take effect, unless it stood there before.
func (w *Webhooks) validatePolicy(_ *http.Request, request *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
	if request.Kind.Kind != "ConfigMap" || len(request.Object.Raw) == 0 {
		return allowed(), nil
	}
	object := objectOf(request, request.Object.Raw)
	var configMap, before struct {
		Metadata metav1.ObjectMeta
		Data     map[string]string
	}
	if err := json.Unmarshal(request.Object.Raw, &configMap); err != nil {
		return invalid(object, err), nil
	}
	if configMap.Metadata.DeletionTimestamp != nil { // its finalizers must go, whatever it says
		return allowed(), nil
	}
	text, found := configMap.Data[policy.Key]
	if !found {
		return invalidField(object, fmt.Sprintf("data[%q]", policy.Key), errors.New("policy: the key is missing")), nil
	}
	var warnings []string
	loaded, err := review.LoadPolicy([]byte(text), rules.Catalogue{})
	switch {
	case err == nil:
		for _, text := range loaded.Warnings(w.Now()) {
			warnings = append(warnings, policy.OneLine("policy: "+text))
		}
	// An earlier version took it, and somebody changes a label: no worse than before.
	case json.Unmarshal(request.OldObject.Raw, &before) == nil && before.Data[policy.Key] == text:
		warnings = append(warnings, "the policy has no effect as it is:")
		for mistake := range strings.Lines(err.Error()) {
			warnings = append(warnings, policy.OneLine(mistake))
		}
	default:
		return invalidField(object, fmt.Sprintf("data[%q]", policy.Key), err), nil
	}
	response := allowed()
	response.Warnings = Warnings(warnings)
	return response, nil
}

// nothingToJudge is true for what can't have made a pod worse: changes that leave its images, or a workload's template,
// as they are; workloads that another workload makes, whose pods are judged themselves; whatever is being deleted.
func nothingToJudge(request *admissionv1.AdmissionRequest) (bool, error) {
	if request.Operation != admissionv1.Create && request.Operation != admissionv1.Update {
		return true, nil
	}
	if request.Kind.Kind == "Pod" {
		return request.Operation == admissionv1.Update && request.SubResource == "" &&
			sameImages(request.Object.Raw, request.OldObject.Raw), nil
	}
	var meta struct{ Metadata metav1.ObjectMeta }
	if err := json.Unmarshal(request.Object.Raw, &meta); err != nil {
		return false, fmt.Errorf("%s %s: %w", request.Kind.Kind, request.Name, err)
	}
	if meta.Metadata.DeletionTimestamp != nil || metav1.GetControllerOf(&meta.Metadata) != nil {
		return true, nil
	}
	return request.Operation == admissionv1.Update && sameTemplate(request), nil
}

func sameImages(a, b []byte) bool {
	return imagesOf(a) == imagesOf(b)
}

func imagesOf(raw []byte) string {
	type containers []struct{ Name, Image string }
	var pod struct {
		Spec struct{ InitContainers, Containers, EphemeralContainers containers }
	}
	if err := json.Unmarshal(raw, &pod); err != nil {
		return err.Error()
	}
	return fmt.Sprint(pod.Spec)
}

func sameTemplate(request *admissionv1.AdmissionRequest) bool {
	before, ok1, err1 := objectOf(request, request.OldObject.Raw).Template()
	after, ok2, err2 := objectOf(request, request.Object.Raw).Template()
	return ok1 && ok2 && err1 == nil && err2 == nil && bytes.Equal(before.JSON, after.JSON)
}

func (w *Webhooks) input(ctx context.Context, request *admissionv1.AdmissionRequest) review.Input {
	input := w.Input(ctx, objectOf(request, request.Object.Raw))
	input.Facts.Requester, input.Facts.RequesterGroups = request.UserInfo.Username, request.UserInfo.Groups
	if request.Operation == admissionv1.Update {
		old := objectOf(request, request.OldObject.Raw)
		input.Old = &old
	}
	return input
}

// Input is an object with what the cluster and the policy say of it, as if nobody in particular asked.
func (w *Webhooks) Input(ctx context.Context, object manifest.Object) review.Input {
	input := review.Input{Object: object, Policy: w.Policy(), Facts: policy.Facts{
		Now:             w.Now(),
		Namespace:       object.Namespace,
		NamespaceLabels: w.Cluster.NamespaceLabels(ctx, object.Namespace),
		Kubernetes:      w.Cluster.Kubernetes(),
		AgentImage:      w.AgentImage,
		Lookup: policy.Lookup{
			Object:    func(kind, name string) []byte { return w.Cluster.Object(ctx, object.Namespace, kind, name) },
			Secret:    w.Secret,
			Defaults:  func() (policy.Defaults, bool) { return w.Cluster.Defaults(ctx, object.Namespace) },
			Monitored: func(pod *corev1.Pod) string { return w.Cluster.Monitored(object.Namespace, pod) },
		},
	}, ServiceAccount: func(name string) (map[string]string, error) {
		return w.Cluster.ServiceAccount(ctx, object.Namespace, name)
	}}
	if w.Entrypoint != nil {
		input.Facts.Entrypoint = w.Entrypoint(ctx)
	}
	return input
}

func objectOf(request *admissionv1.AdmissionRequest, raw []byte) manifest.Object {
	return manifest.Object{APIVersion: metav1.GroupVersion{Group: request.Kind.Group, Version: request.Kind.Version}.String(),
		Kind: request.Kind.Kind, Namespace: request.Namespace, Name: request.Name, JSON: raw}
}

// invalid denies an object that can't be read.
func invalid(object manifest.Object, err error) *admissionv1.AdmissionResponse {
	return invalidField(object, "", err)
}

// invalidField denies an object because of one field, with one cause for each error.
func invalidField(object manifest.Object, field string, err error) *admissionv1.AdmissionResponse {
	errs := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		errs = joined.Unwrap()
	}
	details := &metav1.StatusDetails{Kind: object.Kind, Name: object.Name}
	for _, err := range errs {
		details.Causes = append(details.Causes, metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Field: field, Message: err.Error()})
	}
	return &admissionv1.AdmissionResponse{Result: &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity,
		Reason: metav1.StatusReasonInvalid, Message: err.Error(), Details: details}}
}
