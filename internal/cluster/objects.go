package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/monitors"
	"twelvefold.dev/internal/policy"
)

// The kinds of objects that pods take references to Key Vault from.
var (
	configMap           = schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}
	secretProviderClass = schema.GroupVersionKind{Group: "secrets-store.csi.x-k8s.io", Version: "v1", Kind: "SecretProviderClass"}
	azureKeyVaultSecret = schema.GroupVersionKind{Group: "spv.no", Version: "v2beta1", Kind: "AzureKeyVaultSecret"}
)

// Sources are the kinds that may be looked up.
type Sources struct {
	ConfigMaps, SecretProviderClasses, AzureKeyVaultSecrets bool
	// Monitors are PodMonitors and ServiceMonitors, and Services for the latter.
	Monitors bool
	// LimitRanges give templates' containers what these don't name.
	LimitRanges bool
}

const (
	// crdPeriod is how often is looked for the kinds that somebody else installs.
	crdPeriod = 2 * time.Minute
	// unknownFor is how long an object that the API server did not have is taken for missing: a workload's pods come in
	// numbers, and most ConfigMaps have no label. One that is made or labelled meanwhile comes into the cache by itself.
	unknownFor = 5 * time.Second
	maxUnknown = 10_000
)

// ServedKinds tells which kinds the API server has; it is a part of client-go's discovery.
type ServedKinds interface {
	ServerResourcesForGroupVersion(groupVersion string) (*metav1.APIResourceList, error)
}

// Objects finds what pods take references and defaults from, and the monitors that scrape them, in a cache that holds
// nothing else.
type Objects struct {
	Cache     cache.Cache // see [CacheOptions]
	Live      client.Reader
	Discovery ServedKinds
	Sources   Sources
	Log       *slog.Logger
	Period    time.Duration // between two looks for the kinds; default two minutes

	monitors monitors.Index
	woken    chan struct{}

	mu      sync.Mutex
	known   time.Time                                  // since when it has been found out whether each kind is served
	feeds   map[schema.GroupVersionKind]*feed          // into monitors
	caches  map[schema.GroupVersionKind]cache.Informer // of the kinds that are served and wanted
	unknown map[objectKey]time.Time                    // when the API server did not have it
}

type objectKey struct {
	kind string
	client.ObjectKey
}

// CacheOptions limit a cache to what [Objects] looks up: of ConfigMaps those with the label. Nothing is cached that was
// not begun on purpose.
func CacheOptions() cache.Options {
	labelled := &unstructured.Unstructured{}
	labelled.SetGroupVersionKind(configMap)
	return cache.Options{
		DefaultTransform:            strip,
		ReaderFailOnMissingInformer: true,
		ByObject:                    map[client.Object]cache.ByObject{labelled: {Label: keyVaultLabel}},
	}
}

var keyVaultLabel = labels.SelectorFromSet(labels.Set{policy.KeyVaultLabel: "true"})

// Object is the object as JSON, nil if there is none, if it is a ConfigMap without the label, or if its kind is not looked
// up here.
func (o *Objects) Object(ctx context.Context, namespace, kind, name string) []byte {
	gvk, informer := o.served(kind)
	if informer == nil {
		return nil
	}
	key := client.ObjectKey{Namespace: namespace, Name: name}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(gvk)
	// Before it is filled, the cache would make the request wait.
	if !informer.HasSynced() || o.Cache.Get(ctx, key, object) != nil {
		if object = o.live(ctx, gvk, key); object == nil {
			return nil
		}
	}
	data, err := object.MarshalJSON()
	if err != nil {
		o.Log.Error("an object can't be written as JSON", "kind", kind, "namespace", namespace, "name", name, "error", err)
		return nil
	}
	return data
}

func (o *Objects) served(kind string) (schema.GroupVersionKind, cache.Informer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for gvk, informer := range o.caches {
		if gvk.Kind == kind {
			return gvk, informer
		}
	}
	return schema.GroupVersionKind{}, nil
}

// live asks the API server for an object that was made a moment before its pod. It lists, so that it is the API server who
// keeps back a ConfigMap without the label.
func (o *Objects) live(ctx context.Context, gvk schema.GroupVersionKind, key client.ObjectKey) *unstructured.Unstructured {
	if o.isUnknown(objectKey{gvk.Kind, key}) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	options := []client.ListOption{client.InNamespace(key.Namespace), client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", key.Name)}}
	if gvk == configMap {
		options = append(options, client.MatchingLabelsSelector{Selector: keyVaultLabel})
	}
	if err := o.Live.List(ctx, list, options...); err != nil {
		o.Log.Warn("an object can't be read", "kind", gvk.Kind, "namespace", key.Namespace, "name", key.Name, "error", err)
		return nil
	}
	if len(list.Items) == 0 {
		o.setUnknown(objectKey{gvk.Kind, key})
		return nil
	}
	list.Items[0].SetManagedFields(nil)
	return &list.Items[0]
}

func (o *Objects) isUnknown(key objectKey) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen, found := o.unknown[key]
	return found && time.Since(seen) < unknownFor
}

func (o *Objects) setUnknown(key objectKey) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.unknown == nil || len(o.unknown) >= maxUnknown {
		o.unknown = map[objectKey]time.Time{}
	}
	o.unknown[key] = time.Now()
}

// Ready fails until it is known which kinds there are, and which ConfigMaps have the label: a reference in one that is
// not known would reach the application as text. Monitors are waited for only a while. LimitRanges, without which a template
// is only judged less, and other kinds that somebody else installs, which may be broken, are not waited for at all.
func (o *Objects) Ready(*http.Request) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known.IsZero() {
		return errors.New("it is not known yet which kinds the API server has")
	}
	if informer := o.caches[configMap]; informer != nil && !informer.HasSynced() {
		return errors.New("the ConfigMaps with the label " + policy.KeyVaultLabel + " have not been read yet")
	}
	if time.Since(o.known) < monitorsFor && !o.monitorsKnown() {
		return errors.New("PodMonitors and ServiceMonitors are not known yet")
	}
	return nil
}

// NeedLeaderElection is false: every replica answers.
func (o *Objects) NeedLeaderElection() bool { return false }

// Start fills the cache until the context ends. Kinds may be installed and removed meanwhile.
func (o *Objects) Start(ctx context.Context) error {
	o.mu.Lock()
	o.woken = make(chan struct{}, 1)
	o.mu.Unlock()
	stopped := make(chan error, 1)
	go func() { stopped <- o.Cache.Start(ctx) }()
	for ctx.Err() == nil {
		period := time.Second
		if err := o.look(ctx); ctx.Err() != nil {
			break
		} else if err != nil {
			o.Log.Warn("looking for kinds that hold references failed", "error", err)
		} else if period = o.Period; period == 0 {
			period = crdPeriod
		}
		select {
		case err := <-stopped:
			return err
		case <-ctx.Done():
		case <-o.woken:
		case <-time.After(wait.Jitter(period, 0.2)):
		}
	}
	return <-stopped
}

// look begins to cache the kinds that have come, and stops it for those that have gone.
func (o *Objects) look(ctx context.Context) error {
	var errs []error
	for _, kind := range []struct {
		gvk    schema.GroupVersionKind
		wanted bool
	}{
		{configMap, o.Sources.ConfigMaps},
		{secretProviderClass, o.Sources.SecretProviderClasses},
		{azureKeyVaultSecret, o.Sources.AzureKeyVaultSecrets},
		{limitRange, o.Sources.LimitRanges},
	} {
		if !kind.wanted {
			continue
		}
		served, err := o.serves(kind.gvk)
		if err == nil {
			err = o.follow(ctx, kind.gvk, served)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", kind.gvk.Kind, err))
		}
	}
	errs = append(errs, o.lookForMonitors(ctx))
	err := errors.Join(errs...)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known.IsZero() && err == nil {
		o.known = time.Now()
	}
	return err
}

func (o *Objects) serves(gvk schema.GroupVersionKind) (bool, error) {
	if gvk.Group == "" {
		return true, nil
	}
	list, err := o.Discovery.ServerResourcesForGroupVersion(gvk.GroupVersion().String())
	if apierrors.IsNotFound(err) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Kind == gvk.Kind }), nil
}

// follow starts or stops the informer of a kind.
func (o *Objects) follow(ctx context.Context, gvk schema.GroupVersionKind, served bool) error {
	o.mu.Lock()
	_, followed := o.caches[gvk]
	o.mu.Unlock()
	if served == followed {
		return nil
	}
	object := cached(gvk)
	if !served {
		o.Log.Info("a kind has gone", "kind", gvk.Kind)
		o.mu.Lock()
		delete(o.caches, gvk)
		o.mu.Unlock()
		return o.Cache.RemoveInformer(ctx, object)
	}
	informer, err := o.Cache.GetInformer(ctx, object, cache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	o.Log.Info("objects of a kind are looked up", "kind", gvk.Kind)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.caches == nil {
		o.caches = map[schema.GroupVersionKind]cache.Informer{}
	}
	o.caches[gvk] = informer
	return nil
}
