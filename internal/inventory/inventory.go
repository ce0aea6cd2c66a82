// Package inventory lists what a namespace holds that rules ask about: workloads, and the objects beside them.
package inventory

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/manifest"
)

// PageSize is how many objects one request asks for.
const PageSize = 200

// Lister lists namespaces, one request for each kind and 200 objects. A kind that the API server does not have is asked for
// once, so a Lister is for one pass over the namespaces. It is for one goroutine.
type Lister struct {
	Client client.Reader // one that reads past any cache
	Kinds  []Kind        // default: [Workloads], [Companions] and [Sources]

	absent map[schema.GroupVersionKind]bool
}

// Inventory is what a namespace holds.
type Inventory struct {
	// Objects are in the order of the kinds, and by name; without managed fields.
	Objects []manifest.Object
	// Unread are the kinds that could not be read: of them it is not known that there is none.
	Unread []Unread
}

// Unread is a kind that could not be read.
type Unread struct {
	Kind
	Err error // why: most often the caller may not list it
}

func (u Unread) String() string {
	if apierrors.IsForbidden(u.Err) {
		return "may not list " + u.Name()
	}
	return fmt.Sprintf("can't list %s: %v", u.Name(), u.Err)
}

// UnreadKinds are the names of the kinds that could not be read.
func (i Inventory) UnreadKinds() (kinds []string) {
	for _, u := range i.Unread {
		kinds = append(kinds, u.GroupVersionKind.Kind)
	}
	return kinds
}

// List lists a namespace. A required kind that can't be read is an error. Another that may not be read, or that is broken, is
// told of in the inventory; one that the API server does not have holds nothing.
func (l *Lister) List(ctx context.Context, namespace string) (Inventory, error) {
	kinds := l.Kinds
	if kinds == nil {
		kinds = All()
	}
	var found Inventory
	for _, kind := range kinds {
		objects, err := l.list(ctx, namespace, kind)
		switch {
		case err == nil:
			found.Objects = append(found.Objects, objects...)
		case !kind.Required && (apierrors.IsForbidden(err) || apierrors.IsInternalError(err)): // as of a CRD whose conversion is broken
			found.Unread = append(found.Unread, Unread{kind, err})
		default:
			return Inventory{}, fmt.Errorf("%s: %w", kind.Name(), err)
		}
	}
	return found, nil
}

func (l *Lister) list(ctx context.Context, namespace string, kind Kind) (all []manifest.Object, err error) {
	if l.absent[kind.GroupVersionKind] {
		return nil, nil
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	for next, limit := "", int64(PageSize); ; {
		options := []client.ListOption{client.InNamespace(namespace), client.Limit(limit), client.Continue(next)}
		if kind.Labels != nil {
			options = append(options, kind.Labels)
		}
		switch err := l.Client.List(ctx, list, options...); {
		case !kind.Required && (meta.IsNoMatchError(err) || apierrors.IsNotFound(err)):
			if l.absent == nil {
				l.absent = map[schema.GroupVersionKind]bool{}
			}
			l.absent[kind.GroupVersionKind] = true
			return nil, nil
		case apierrors.IsResourceExpired(err) && next != "": // we came too late for the next page: all at once, as kubectl does then
			all, next, limit = nil, "", 0
			continue
		case err != nil:
			return nil, err
		}
		for i := range list.Items {
			if over(&list.Items[i]) {
				continue
			}
			object, err := Read(&list.Items[i])
			if err != nil {
				return nil, err
			}
			all = append(all, object)
		}
		if next = list.GetContinue(); next == "" {
			return all, nil
		}
	}
}

// Read is an object of the API server as the engine takes it, without managed fields.
func Read(object *unstructured.Unstructured) (manifest.Object, error) {
	object.SetManagedFields(nil)
	data, err := object.MarshalJSON()
	if err != nil {
		return manifest.Object{}, err
	}
	return manifest.FromJSON(data)
}

// over says whether there is nothing to mend in a workload: its owner is looked at, it is being deleted, or it has ended.
func over(object *unstructured.Unstructured) bool {
	switch object.GetKind() {
	case "ReplicaSet": // scaled down, it is what an operator keeps of an earlier rollout
		replicas, found, _ := unstructured.NestedInt64(object.Object, "spec", "replicas")
		return Ended(object) || owned(object) || metav1.GetControllerOf(object) != nil && found && replicas == 0
	case "Pod", "Job", "Deployment", "StatefulSet", "DaemonSet", "CronJob":
		return Ended(object) || owned(object)
	}
	return object.GetDeletionTimestamp() != nil
}

// Ended says whether an object is being deleted, or is a pod or Job that won't run again.
func Ended(object *unstructured.Unstructured) bool {
	if object.GetDeletionTimestamp() != nil {
		return true
	}
	switch object.GetKind() {
	case "Pod":
		phase, _, _ := unstructured.NestedString(object.Object, "status", "phase")
		return phase == "Succeeded" || phase == "Failed"
	case "Job":
		_, ended, _ := unstructured.NestedString(object.Object, "status", "completionTime")
		conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
		return ended || slices.ContainsFunc(conditions, func(c any) bool {
			condition, ok := c.(map[string]any)
			return ok && condition["type"] == "Failed" && condition["status"] == "True"
		})
	}
	return false
}

// owned says whether one of Kubernetes' own controllers made an object, which is looked at in its stead, or mirrors it. What
// an operator makes for its own kinds is looked at itself: those have no template that anybody else could read.
func owned(object *unstructured.Unstructured) bool {
	owner := metav1.GetControllerOf(object)
	if owner == nil {
		return false
	}
	group, _, _ := strings.Cut(owner.APIVersion, "/")
	return group == "apps" || group == "batch" || owner.Kind == "Node"
}
