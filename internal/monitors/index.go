// Package monitors tells which PodMonitor or ServiceMonitor of a Prometheus operator scrapes a pod already. The webhook fills
// an [Index] from its caches, the command line from manifests.
package monitors

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Groups are the API groups that serve PodMonitors and ServiceMonitors: the Prometheus operator's own, and Azure Monitor's.
var Groups = []string{"monitoring.coreos.com", "azmonitoring.coreos.com"}

// The kinds of monitors.
const (
	Version        = "v1"
	PodMonitor     = "PodMonitor"
	ServiceMonitor = "ServiceMonitor"
)

// Kinds are all kinds of monitors.
func Kinds() (all []schema.GroupVersionKind) {
	for _, group := range Groups {
		for _, kind := range []string{PodMonitor, ServiceMonitor} {
			all = append(all, schema.GroupVersionKind{Group: group, Version: Version, Kind: kind})
		}
	}
	return all
}

// Index holds monitors, and the Services that ServiceMonitors select. It may be read and filled at the same time.
type Index struct {
	mu    sync.RWMutex
	feeds map[*Feed]bool
}

// Feed is a part of an index that comes from one source, and goes with it.
type Feed struct {
	index    *Index
	monitors byNamespace[*monitor] // by where they look; "" is everywhere
	services byNamespace[*service]
}

// byNamespace has the objects of a namespace by their keys.
type byNamespace[T any] map[string]map[string]T

func (b byNamespace[T]) add(namespace, key string, object T) {
	if b[namespace] == nil {
		b[namespace] = map[string]T{}
	}
	b[namespace][key] = object
}

func (b byNamespace[T]) remove(key string) {
	for namespace, objects := range b {
		if delete(objects, key); len(objects) == 0 {
			delete(b, namespace)
		}
	}
}

// Open adds a feed.
func (x *Index) Open() *Feed {
	x.mu.Lock()
	defer x.mu.Unlock()
	f := &Feed{index: x, monitors: byNamespace[*monitor]{}, services: byNamespace[*service]{}}
	if x.feeds == nil {
		x.feeds = map[*Feed]bool{}
	}
	x.feeds[f] = true
	return f
}

// Close takes all that the feed brought out of the index. What still comes by it has no effect.
func (f *Feed) Close() {
	f.index.mu.Lock()
	defer f.index.mu.Unlock()
	delete(f.index.feeds, f)
}

// Put adds or replaces a monitor or a Service. One that can't be read is left out, and scrapes nothing.
func (f *Feed) Put(object client.Object) error {
	var found *monitor
	var err error
	if o, ok := object.(*unstructured.Unstructured); ok {
		found, err = parse(o)
	}
	f.index.mu.Lock()
	defer f.index.mu.Unlock()
	f.monitors.remove(key(object))
	if o, ok := object.(*corev1.Service); ok {
		f.services.remove(key(object))
		if len(o.Spec.Selector) > 0 {
			f.services.add(o.Namespace, key(object), &service{name: o.Name, labels: o.Labels,
				selector: labels.SelectorFromSet(o.Spec.Selector), ports: o.Spec.Ports})
		}
	}
	if found != nil {
		for _, namespace := range found.namespaces {
			f.monitors.add(namespace, key(object), found)
		}
	}
	return err
}

// Delete removes an object.
func (f *Feed) Delete(object client.Object) {
	f.index.mu.Lock()
	defer f.index.mu.Unlock()
	f.monitors.remove(key(object))
	f.services.remove(key(object))
}

func key(object client.Object) string {
	return object.GetObjectKind().GroupVersionKind().GroupKind().String() + " " + object.GetNamespace() + "/" + object.GetName()
}

// Has says whether there is a monitor of the kind.
func (x *Index) Has(kind string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for f := range x.feeds {
		for _, monitors := range f.monitors {
			for _, m := range monitors {
				if m.kind == kind {
					return true
				}
			}
		}
	}
	return false
}

// Scrapes names the monitor that scrapes a pod of the namespace, such as "PodMonitor monitoring/shop": of several the
// first by kind and name; empty if there is none.
func (x *Index) Scrapes(namespace string, pod *corev1.Pod) (name string) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	s := search{index: x, namespace: namespace, pod: pod}
	for f := range x.feeds {
		for _, place := range []string{"", namespace} {
			for _, m := range f.monitors[place] {
				if (name == "" || m.name < name) && s.scrapedBy(m) {
					name = m.name
				}
			}
		}
	}
	return name
}

// search is the question for one pod.
type search struct {
	index     *Index
	namespace string
	pod       *corev1.Pod

	podTargets []target
	services   []*service // that lead to the pod
	looked     bool       // whether services are known
}

func (s *search) scrapedBy(m *monitor) bool {
	if m.kind == PodMonitor {
		if !m.selector.Matches(labels.Set(s.pod.Labels)) {
			return false
		}
		if s.podTargets == nil {
			s.podTargets = podTargets(s.namespace, s.pod)
		}
		return m.keepsAny(s.podTargets)
	}
	if !s.looked {
		s.services, s.looked = s.index.servicesOf(s.namespace, s.pod), true
	}
	for _, service := range s.services {
		if m.selector.Matches(labels.Set(service.labels)) && m.keepsAny(service.targets(s.namespace, s.pod)) {
			return true
		}
	}
	return false
}

func (x *Index) servicesOf(namespace string, pod *corev1.Pod) (found []*service) {
	for f := range x.feeds {
		for _, s := range f.services[namespace] {
			if s.selector.Matches(labels.Set(pod.Labels)) {
				found = append(found, s)
			}
		}
	}
	return found
}
