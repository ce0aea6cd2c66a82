package live

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/inventory"
	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
)

// System says whether a namespace is left alone: by its name, or by the labels that AKS excludes from all webhooks.
func System(name string, labels map[string]string) bool {
	return slices.Contains(policy.SystemNamespaces, name) || policy.OfAKS(labels)
}

// Namespace is one to be read.
type Namespace struct {
	Name   string
	Object *manifest.Object // nil: it may not be read, and its labels are unknown
}

// Namespaces are those of the names; without names all but the system's, those to except, and those that are being deleted.
func (c *Cluster) Namespaces(ctx context.Context, names []string, except ...string) ([]Namespace, error) {
	if len(names) > 0 {
		return c.named(ctx, names)
	}
	var all []Namespace
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	for first := true; first || list.GetContinue() != ""; first = false {
		err := c.client.List(ctx, list, client.Limit(inventory.PageSize), client.Continue(list.GetContinue()))
		if apierrors.IsForbidden(err) {
			return nil, errors.New("namespaces may not be listed (kubectl auth can-i list namespaces); name those that you may read: -n <namespace>,…")
		} else if err != nil {
			return nil, c.explain(err)
		}
		for i := range list.Items {
			item := &list.Items[i]
			if System(item.GetName(), item.GetLabels()) || slices.Contains(except, item.GetName()) || item.GetDeletionTimestamp() != nil {
				continue
			}
			object, err := inventory.Read(item)
			if err != nil {
				return nil, err
			}
			all = append(all, Namespace{item.GetName(), &object})
		}
	}
	return all, nil
}

func (c *Cluster) named(ctx context.Context, names []string) (all []Namespace, err error) {
	for _, name := range names {
		if slices.ContainsFunc(all, func(n Namespace) bool { return n.Name == name }) {
			continue
		}
		item := &unstructured.Unstructured{}
		item.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
		namespace := Namespace{Name: name}
		switch err := c.client.Get(ctx, client.ObjectKey{Name: name}, item); {
		case apierrors.IsNotFound(err):
			return nil, fmt.Errorf("the cluster has no namespace %q", name)
		case apierrors.IsForbidden(err):
		case err != nil:
			return nil, c.explain(err)
		default:
			object, err := inventory.Read(item)
			if err != nil {
				return nil, err
			}
			namespace.Object = &object
		}
		all = append(all, namespace)
	}
	return all, nil
}
