package cluster

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"

	"twelvefold.dev/internal/monitors"
)

type registration struct {
	toolscache.ResourceEventHandlerRegistration
	synced bool
}

func (r registration) HasSynced() bool { return r.synced }

// A pod that is admitted before the monitors are known would be scraped twice for all its life. But where they can't be
// listed, pods must start all the same.
func TestReadinessWaitsForMonitorsAWhile(t *testing.T) {
	podMonitors, serviceMonitors := monitors.Kinds()[0], monitors.Kinds()[1]
	for _, test := range []struct {
		name  string
		since time.Duration
		fed   map[schema.GroupVersionKind]bool // synced
		want  bool
	}{
		{"no monitors", 0, nil, true},
		{"all are known", 0, map[schema.GroupVersionKind]bool{podMonitors: true}, true},
		{"not all are known", time.Second, map[schema.GroupVersionKind]bool{podMonitors: false}, false},
		{"they can't be listed", monitorsFor, map[schema.GroupVersionKind]bool{podMonitors: false}, true},
		{"Services are not followed yet", 0, map[schema.GroupVersionKind]bool{serviceMonitors: true}, false},
		{"Services are not known yet", 0, map[schema.GroupVersionKind]bool{serviceMonitors: true, service: false}, false},
		{"Services are known", 0, map[schema.GroupVersionKind]bool{serviceMonitors: true, service: true}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := &Objects{known: time.Now().Add(-test.since), feeds: map[schema.GroupVersionKind]*feed{}}
			for gvk, synced := range test.fed {
				f := &feed{Feed: o.monitors.Open(), registration: registration{synced: synced}}
				o.feeds[gvk] = f
				if gvk == serviceMonitors {
					m := cached(gvk).(*unstructured.Unstructured)
					m.Object["spec"] = map[string]any{"endpoints": []any{map[string]any{}}}
					if err := f.Put(m); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := o.Ready(nil); (err == nil) != test.want {
				t.Errorf("ready: %v, want %t", err, test.want)
			}
		})
	}
}

// The cache holds Services and monitors of all namespaces, so it holds no more of them than is read.
func TestStrip(t *testing.T) {
	meta := metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "1", ResourceVersion: "2", Labels: map[string]string{"app": "web"}}
	full := meta
	full.Annotations, full.ManagedFields = map[string]string{"long": "text"}, []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	spec := corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}}
	fullSpec := spec
	fullSpec.ClusterIP = "10.0.0.1"
	monitor := cached(monitors.Kinds()[0]).(*unstructured.Unstructured)
	monitor.SetName("web")
	monitor.Object["spec"] = map[string]any{"selector": map[string]any{}, "sampleLimit": int64(7)}
	monitor.Object["status"] = map[string]any{"long": "text"}
	wantMonitor := cached(monitors.Kinds()[0]).(*unstructured.Unstructured)
	wantMonitor.SetName("web")
	wantMonitor.Object["spec"] = map[string]any{"selector": map[string]any{}}
	other := &unstructured.Unstructured{Object: map[string]any{"kind": "ConfigMap", "data": map[string]any{"a": "b"}}}

	for _, test := range []struct{ in, want any }{
		{&corev1.Service{ObjectMeta: full, Spec: fullSpec, Status: corev1.ServiceStatus{Conditions: []metav1.Condition{{Type: "A"}}}}, &corev1.Service{ObjectMeta: meta, Spec: spec}},
		{monitor, wantMonitor},
		{other, other.DeepCopy()},
	} {
		got, err := strip(test.in)
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
}
