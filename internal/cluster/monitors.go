package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/monitors"
)

var service = corev1.SchemeGroupVersion.WithKind("Service")

// monitorsFor is how long readiness waits for the monitors. Where they can't be listed, pods must start all the same.
const monitorsFor = 10 * time.Second

// feed brings the objects of a kind into the index of monitors.
type feed struct {
	*monitors.Feed
	registration toolscache.ResourceEventHandlerRegistration
}

// lookForMonitors follows the kinds of monitors that are served, and Services as long as there are ServiceMonitors.
func (o *Objects) lookForMonitors(ctx context.Context) error {
	if !o.Sources.Monitors {
		return nil
	}
	var errs []error
	for _, gvk := range monitors.Kinds() {
		served, err := o.serves(gvk)
		if err == nil {
			err = o.feed(ctx, gvk, served)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s.%s: %w", gvk.Kind, gvk.Group, err))
		}
	}
	if err := o.feed(ctx, service, o.monitors.Has(monitors.ServiceMonitor)); err != nil {
		errs = append(errs, fmt.Errorf("services: %w", err))
	}
	return errors.Join(errs...)
}

// feed starts or stops to bring the objects of a kind into the index.
func (o *Objects) feed(ctx context.Context, gvk schema.GroupVersionKind, wanted bool) error {
	o.mu.Lock()
	fed, found := o.feeds[gvk]
	o.mu.Unlock()
	if wanted == found {
		return nil
	}
	if !wanted {
		o.Log.Info("monitors of a kind are no longer looked up", "group", gvk.Group, "kind", gvk.Kind)
		fed.Close()
		o.mu.Lock()
		delete(o.feeds, gvk)
		o.mu.Unlock()
		return o.Cache.RemoveInformer(ctx, cached(gvk))
	}
	informer, err := o.Cache.GetInformer(ctx, cached(gvk), cache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	begun := &feed{Feed: o.monitors.Open()}
	if begun.registration, err = informer.AddEventHandler(o.handler(begun.Feed, gvk)); err != nil {
		begun.Close()
		return err
	}
	o.Log.Info("monitors of a kind are looked up", "group", gvk.Group, "kind", gvk.Kind)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.feeds == nil {
		o.feeds = map[schema.GroupVersionKind]*feed{}
	}
	o.feeds[gvk] = begun
	return nil
}

func (o *Objects) handler(into *monitors.Feed, gvk schema.GroupVersionKind) toolscache.ResourceEventHandler {
	put := func(object any) {
		if err := into.Put(object.(client.Object)); err != nil {
			o.Log.Warn("a monitor can't be read: it scrapes nothing", "error", err)
		}
		if gvk.Kind == monitors.ServiceMonitor && o.monitors.Has(gvk.Kind) {
			o.wake() // for Services
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    put,
		UpdateFunc: func(_, object any) { put(object) },
		DeleteFunc: func(object any) {
			if gone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
				object = gone.Obj
			}
			into.Delete(object.(client.Object))
		},
	}
}

// wake has the kinds looked for now if Services are missing.
func (o *Objects) wake() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.feeds[service] == nil {
		select {
		case o.woken <- struct{}{}:
		default: // it is going to
		}
	}
}

// monitorsKnown says whether all monitors that there are, and the Services for them, are in the index. The caller holds the lock.
func (o *Objects) monitorsKnown() bool {
	for _, f := range o.feeds {
		if !f.registration.HasSynced() {
			return false
		}
	}
	return o.feeds[service] != nil || !o.monitors.Has(monitors.ServiceMonitor)
}

// cached is the type by which a kind is in the cache.
func cached(gvk schema.GroupVersionKind) client.Object {
	switch gvk {
	case service:
		return &corev1.Service{}
	case limitRange:
		return &corev1.LimitRange{}
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(gvk)
	return object
}

// strip leaves of Services and monitors what the index of monitors needs, of LimitRanges their spec, of other objects all
// but the managed fields.
func strip(object any) (any, error) {
	switch o := object.(type) {
	case *corev1.Service:
		kept := &corev1.Service{}
		kept.Namespace, kept.Name, kept.UID, kept.ResourceVersion, kept.Labels = o.Namespace, o.Name, o.UID, o.ResourceVersion, o.Labels
		kept.Spec.Selector, kept.Spec.Ports = o.Spec.Selector, o.Spec.Ports
		return kept, nil
	case *corev1.LimitRange:
		kept := &corev1.LimitRange{}
		kept.Namespace, kept.Name, kept.UID, kept.ResourceVersion, kept.Spec = o.Namespace, o.Name, o.UID, o.ResourceVersion, o.Spec
		return kept, nil
	case *unstructured.Unstructured:
		if slices.Contains(monitors.Kinds(), o.GroupVersionKind()) {
			return stripMonitor(o), nil
		}
	}
	return cache.TransformStripManagedFields()(object)
}

// monitorFields are the parts of a monitor's spec that are read.
var monitorFields = []string{"selector", "namespaceSelector", "podMetricsEndpoints", "endpoints"}

func stripMonitor(o *unstructured.Unstructured) *unstructured.Unstructured {
	kept := &unstructured.Unstructured{Object: map[string]any{}}
	kept.SetGroupVersionKind(o.GroupVersionKind())
	kept.SetNamespace(o.GetNamespace())
	kept.SetName(o.GetName())
	kept.SetUID(o.GetUID())
	kept.SetResourceVersion(o.GetResourceVersion())
	if spec, ok := o.Object["spec"].(map[string]any); ok {
		parts := map[string]any{}
		for _, field := range monitorFields {
			if value, found := spec[field]; found {
				parts[field] = value
			}
		}
		kept.Object["spec"] = parts
	}
	return kept
}
