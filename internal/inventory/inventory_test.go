package inventory_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"twelvefold.dev/internal/inventory"
)

// server is an API server without KEDA and its like, that notes what it is asked.
type server struct {
	refused map[string]error // by kind
	asked   []string
}

func (s *server) lister(objects ...client.Object) *inventory.Lister {
	c := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			gvk := list.GetObjectKind().GroupVersionKind()
			kind := strings.TrimSuffix(gvk.Kind, "List")
			s.asked = append(s.asked, kind)
			if err := s.refused[kind]; err != nil {
				return err
			}
			if strings.Contains(gvk.Group, ".") && gvk.Group != "networking.k8s.io" {
				return &meta.NoKindMatchError{GroupKind: gvk.GroupKind()}
			}
			err := c.List(ctx, list, opts...)
			for i := range list.(*unstructured.UnstructuredList).Items { // the fake client has none
				list.(*unstructured.UnstructuredList).Items[i].SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "kubectl"}})
			}
			return err
		},
	}).Build()
	return &inventory.Lister{Client: c}
}

func names(i inventory.Inventory) (names []string) {
	for _, o := range i.Objects {
		names = append(names, fmt.Sprintf("%s %s/%s", o.APIVersion, o.Kind, o.Name))
	}
	return names
}

func in(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

func TestList(t *testing.T) {
	owned, ended, done, leaving, labelled := in("shop", "owned"), &corev1.Pod{ObjectMeta: in("shop", "ended")}, &batchv1.Job{ObjectMeta: in("shop", "done")}, in("shop", "leaving"), in("shop", "labelled")
	owned.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "r", UID: "r", Controller: new(true)}}
	ended.Status.Phase = corev1.PodFailed
	done.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue}}
	leaving.DeletionTimestamp, leaving.Finalizers = &metav1.Time{Time: time.Now()}, []string{"example.com/wait"}
	labelled.Labels = map[string]string{"twelvefold.dev/keyvault": "true"}
	s := &server{}
	l := s.lister(&appsv1.Deployment{ObjectMeta: in("shop", "api")}, &appsv1.Deployment{ObjectMeta: in("other", "web")}, &corev1.Pod{ObjectMeta: owned}, ended, done,
		&corev1.Service{ObjectMeta: leaving}, &corev1.Service{ObjectMeta: in("shop", "api")}, &corev1.Secret{ObjectMeta: in("shop", "password")},
		&corev1.ConfigMap{ObjectMeta: in("shop", "private")}, &corev1.ConfigMap{ObjectMeta: labelled}, &corev1.PersistentVolumeClaim{ObjectMeta: in("shop", "data")})
	found, err := l.List(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"apps/v1 Deployment/api", "v1 Service/api", "v1 PersistentVolumeClaim/data", "v1 ConfigMap/labelled"}
	if diff := cmp.Diff(want, names(found)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if text := string(found.Objects[0].JSON); strings.Contains(text, "managedFields") {
		t.Error(text)
	}
	if len(found.Unread) > 0 {
		t.Errorf("unread: %v", found.Unread)
	}
	first := len(s.asked)
	if first != len(inventory.All()) {
		t.Errorf("%d requests: %q", first, s.asked)
	}
	if _, err := l.List(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	if again := s.asked[first:]; len(again) >= first || strings.Contains(strings.Join(again, " "), "ScaledObject") {
		t.Errorf("kinds that are not there are asked for again: %q", again)
	}
}

// What an operator makes stands for itself; what Kubernetes makes is its owner's.
func TestOwners(t *testing.T) {
	by := func(name, apiVersion, kind string) metav1.ObjectMeta {
		meta := in("shop", name)
		meta.OwnerReferences = []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: "o", UID: "o", Controller: new(true)}}
		return meta
	}
	history := &appsv1.ReplicaSet{ObjectMeta: by("canary-0", "argoproj.io/v1alpha1", "Rollout"), Spec: appsv1.ReplicaSetSpec{Replicas: new(int32)}}
	alone := &appsv1.ReplicaSet{ObjectMeta: in("shop", "alone"), Spec: history.Spec}
	l := (&server{}).lister(history, alone, &appsv1.StatefulSet{ObjectMeta: by("prometheus", "monitoring.coreos.com/v1", "Prometheus")}, &corev1.Pod{ObjectMeta: by("broker", "core.strimzi.io/v1", "StrimziPodSet")},
		&batchv1.Job{ObjectMeta: by("night-1", "batch/v1", "CronJob")}, &corev1.Pod{ObjectMeta: by("night-1-x", "batch/v1", "Job")}, &corev1.Pod{ObjectMeta: by("mirror", "v1", "Node")},
		&appsv1.ReplicaSet{ObjectMeta: by("api-1", "apps/v1", "Deployment")}, &appsv1.ReplicaSet{ObjectMeta: by("canary-1", "argoproj.io/v1alpha1", "Rollout")})
	l.Kinds = inventory.Workloads
	found, err := l.List(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"apps/v1 StatefulSet/prometheus", "v1 Pod/broker", "apps/v1 ReplicaSet/alone", "apps/v1 ReplicaSet/canary-1"}
	if diff := cmp.Diff(want, names(found)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUnread(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: "keda.sh", Resource: "scaledobjects"}, "", errors.New("no"))
	s := &server{refused: map[string]error{"ScaledObject": forbidden, "SecretProviderClass": apierrors.NewInternalError(errors.New("conversion webhook failed"))}}
	found, err := s.lister(&appsv1.Deployment{ObjectMeta: in("shop", "api")}).List(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ScaledObject", "SecretProviderClass"}, found.UnreadKinds()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i, want := range []string{"may not list scaledobjects.keda.sh", "can't list secretproviderclasses.secrets-store.csi.x-k8s.io: Internal error occurred: conversion webhook failed"} {
		if got := found.Unread[i].String(); got != want {
			t.Error(got)
		}
	}
	if len(found.Objects) != 1 {
		t.Errorf("objects: %q", names(found))
	}
}

// A page that is asked for too late is gone: the API server keeps what it was of for some minutes.
func TestExpiredPage(t *testing.T) {
	c := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(&corev1.Pod{ObjectMeta: in("shop", "first")}, &corev1.Pod{ObjectMeta: in("shop", "second")}).
		WithInterceptorFuncs(interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			var asked client.ListOptions
			asked.ApplyOptions(opts)
			if asked.Continue != "" {
				return apierrors.NewResourceExpired("The provided continue parameter is too old")
			}
			if err := c.List(ctx, list, opts...); err != nil || asked.Limit == 0 {
				return err
			}
			pods := list.(*unstructured.UnstructuredList)
			pods.Items = pods.Items[:1]
			pods.SetContinue("more")
			return nil
		}}).Build()
	l := inventory.Lister{Client: c, Kinds: []inventory.Kind{{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Pod"), Resource: "pods", Required: true}}}
	found, err := l.List(t.Context(), "shop")
	if diff := cmp.Diff([]string{"v1 Pod/first", "v1 Pod/second"}, names(found)); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// Without workloads there is nothing to judge, and with trouble on the way nobody knows what is missing.
func TestErrors(t *testing.T) {
	for kind, err := range map[string]error{
		"Deployment": apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "deployments"}, "", errors.New("no")),
		"CronJob":    apierrors.NewNotFound(schema.GroupResource{Group: "batch", Resource: "cronjobs"}, ""), // every API server has it: this one is not well
		"Service":    errors.New("connection refused"),
	} {
		s := &server{refused: map[string]error{kind: err}}
		if _, got := s.lister().List(t.Context(), "shop"); !errors.Is(got, err) || !strings.Contains(got.Error(), strings.ToLower(kind)+"s") {
			t.Errorf("%s: %v", kind, got)
		}
	}
}
