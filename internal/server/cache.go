package server

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/cluster"
)

// newObjects makes the cache of what pods take references from. It is one of its own: the manager's has the policy as its
// only ConfigMap.
func newObjects(mgr ctrl.Manager, o Options, live client.Reader, kinds discovery.ServerResourcesInterface, log *slog.Logger) (*cluster.Objects, error) {
	options := cluster.CacheOptions()
	options.HTTPClient, options.Scheme, options.Mapper = mgr.GetHTTPClient(), mgr.GetScheme(), mgr.GetRESTMapper()
	objects, err := cache.New(mgr.GetConfig(), options)
	if err != nil {
		return nil, fmt.Errorf("cache of objects with references: %w", err)
	}
	sources := o.Sources
	sources.LimitRanges = true
	return &cluster.Objects{Cache: objects, Live: live, Discovery: kinds, Sources: sources, Log: log}, nil
}

// warmUp makes the cache hold the metadata of namespaces and service accounts from the start, and not from the first
// request that asks for them.
func warmUp(c cache.Cache) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, kind := range []string{"Namespace", "ServiceAccount"} {
		object := &metav1.PartialObjectMetadata{}
		object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
		if _, err := c.GetInformer(ctx, object, cache.BlockUntilSynced(false)); err != nil {
			return fmt.Errorf("cache of %ss: %w", kind, err)
		}
	}
	return nil
}
