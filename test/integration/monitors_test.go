package integration

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/cluster"
)

// installMonitors gives the API server the kinds of both operators. The function takes them away; the end of the test does too.
func installMonitors(t *testing.T) (uninstall func()) { return installCRDs(t, "testdata/monitors") }

func monitor(group, kind, namespace, name string, spec map[string]any) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	o.SetAPIVersion(group + "/v1")
	o.SetKind(kind)
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

// everyPort are the endpoints of a monitor that scrapes all ports.
var everyPort = []any{map[string]any{}}

// Kinds and objects come and go, and Services are read as long as somebody needs them.
func TestMonitorsMayComeAndGo(t *testing.T) {
	o, sent := objects(t, cluster.Sources{Monitors: true})
	c := &cluster.Cluster{Objects: o}
	ns, p := namespace(t, nil), pod("", "app:1")
	is := func(want string) func() bool { return func() bool { return c.Monitored(ns, p) == want } }
	if !is("")() || sent.count("podmonitors") > 0 {
		t.Fatalf("%q; %d requests for a kind that there is not", c.Monitored(ns, p), sent.count("podmonitors"))
	}

	uninstall := installMonitors(t)
	pods := monitor("azmonitoring.coreos.com", "PodMonitor", ns, "pods", map[string]any{"podMetricsEndpoints": everyPort, "sampleLimit": int64(7)})
	create(t, pods)
	until(t, "the PodMonitor is known", is("PodMonitor "+ns+"/pods"))
	if sent.count("/services") > 0 {
		t.Errorf("%d requests for Services, and there is no ServiceMonitor", sent.count("/services"))
	}
	held := &unstructured.Unstructured{}
	held.SetGroupVersionKind(pods.GroupVersionKind())
	if err := o.Cache.Get(t.Context(), client.ObjectKeyFromObject(pods), held); err != nil {
		t.Error(err)
	}
	if _, found, _ := unstructured.NestedFieldNoCopy(held.Object, "spec", "sampleLimit"); found || held.GetManagedFields() != nil {
		t.Errorf("the cache holds more than is read: %v", held.Object)
	}
	pods.Object["spec"] = map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"app": "other"}}, "podMetricsEndpoints": everyPort}
	if err := admin.Update(t.Context(), pods); err != nil {
		t.Fatal(err)
	}
	until(t, "the PodMonitor selects others", is(""))

	services := monitor("monitoring.coreos.com", "ServiceMonitor", ns, "services", map[string]any{"endpoints": everyPort})
	create(t, services, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "app"},
		Spec: corev1.ServiceSpec{Selector: p.Labels, Ports: []corev1.ServicePort{{Port: 80}}}})
	until(t, "the ServiceMonitor is known", is("ServiceMonitor "+ns+"/services"))
	if err := admin.Delete(t.Context(), services); err != nil {
		t.Fatal(err)
	}
	until(t, "the ServiceMonitor is gone", is(""))
	until(t, "Services are read no more", func() bool {
		err := o.Cache.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "app"}, &corev1.Service{})
		return errors.As(err, new(*cache.ErrResourceNotCached))
	})

	create(t, monitor("monitoring.coreos.com", "PodMonitor", ns, "again", map[string]any{"podMetricsEndpoints": everyPort}))
	until(t, "the other PodMonitor is known", is("PodMonitor "+ns+"/again"))
	after, _ := objects(t, cluster.Sources{Monitors: true})
	if got := (&cluster.Cluster{Objects: after}).Monitored(ns, p); got != "PodMonitor "+ns+"/again" {
		t.Errorf("a webhook that is ready knows %q", got)
	}
	uninstall()
	until(t, "the kinds are gone", is(""))
}

func TestMonitorsThatAreOffAreNotRead(t *testing.T) {
	installMonitors(t)
	ns := namespace(t, nil)
	create(t, monitor("monitoring.coreos.com", "PodMonitor", ns, "pods", map[string]any{"podMetricsEndpoints": everyPort}))
	o, sent := objects(t, cluster.Sources{})
	if got := (&cluster.Cluster{Objects: o}).Monitored(ns, pod("", "app:1")); got != "" || sent.count("monitoring.coreos.com") > 0 {
		t.Errorf("%q; %d requests", got, sent.count("monitoring.coreos.com"))
	}
}

// monitored has a PodMonitor select pods, in the webhook as it runs with the chart's rights. A webhook that starts when the
// kinds are there needs no look for them.
func monitored(t *testing.T) {
	ns := optedIn(t)
	scraped := func() bool {
		p := pod(ns, "app:1")
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "metrics", ContainerPort: 8081}}
		create(t, p)
		switch p.Annotations["prometheus.io/port"] {
		case "8081":
			return false
		case "":
			return true
		}
		t.Fatalf("annotations %v", p.Annotations)
		return false
	}
	if scraped() {
		t.Fatal("a pod that nobody scrapes isn't annotated")
	}
	selector := map[string]any{"matchLabels": map[string]any{"app.kubernetes.io/name": "app"}}
	for _, m := range []*unstructured.Unstructured{
		monitor("monitoring.coreos.com", "PodMonitor", ns, "pods", map[string]any{"selector": selector, "podMetricsEndpoints": everyPort}),
		monitor("azmonitoring.coreos.com", "ServiceMonitor", ns, "services", map[string]any{"endpoints": everyPort}),
	} {
		if m.GetKind() == "ServiceMonitor" {
			create(t, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "app"},
				Spec: corev1.ServiceSpec{Selector: map[string]string{"app.kubernetes.io/name": "app"}, Ports: []corev1.ServicePort{{Port: 80}}}})
		}
		create(t, m)
		until(t, "new pods are not annotated, for the "+m.GetKind(), scraped)
		if err := admin.Delete(context.WithoutCancel(t.Context()), m); err != nil {
			t.Fatal(err)
		}
		until(t, "new pods are annotated, without the "+m.GetKind(), func() bool { return !scraped() })
	}
}
