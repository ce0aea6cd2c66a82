package cluster

import (
	"cmp"
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/policy"
)

var limitRange = corev1.SchemeGroupVersion.WithKind("LimitRange")

// Defaults are what the LimitRanges of a namespace give containers. They are not known until the cache holds them, nor
// where they may not be listed; nobody waits for them.
func (o *Objects) Defaults(ctx context.Context, namespace string) (defaults policy.Defaults, known bool) {
	_, informer := o.served(limitRange.Kind)
	if informer == nil || !informer.HasSynced() {
		return policy.Defaults{}, false
	}
	var limits corev1.LimitRangeList
	if err := o.Cache.List(ctx, &limits, client.InNamespace(namespace)); err != nil {
		o.Log.Warn("the defaults of a namespace can't be read", "namespace", namespace, "error", err)
		return policy.Defaults{}, false
	}
	slices.SortFunc(limits.Items, func(a, b corev1.LimitRange) int { return cmp.Compare(a.Name, b.Name) })
	return policy.DefaultsOf(limits.Items), true
}
