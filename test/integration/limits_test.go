package integration

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/cluster"
)

// limits give each container of a namespace a request of CPU, and a limit of memory, which is requested as well.
func limits(namespace string) *corev1.LimitRange {
	return &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "defaults"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
		Type:           corev1.LimitTypeContainer,
		Default:        corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
		DefaultRequest: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
	}}}}
}

func TestDefaultsFollowLimitRanges(t *testing.T) {
	o, sent := objects(t, cluster.Sources{LimitRanges: true})
	ns := namespace(t, nil)
	until(t, "nothing is given", func() bool {
		defaults, known := o.Defaults(t.Context(), ns)
		return known && len(defaults.Requests)+len(defaults.Limits) == 0
	})
	given := limits(ns)
	create(t, given, limits(namespace(t, nil)))
	until(t, "the defaults are known", func() bool {
		defaults, known := o.Defaults(t.Context(), ns)
		return known && len(defaults.Requests) == 2 && defaults.Requests.Memory().String() == "128Mi" && defaults.Limits.Memory().String() == "256Mi"
	})
	var held corev1.LimitRangeList
	if err := o.Cache.List(t.Context(), &held, client.InNamespace(ns)); err != nil || len(held.Items) != 1 || held.Items[0].ManagedFields != nil {
		t.Errorf("the cache holds %v: %v", held.Items, err)
	}
	if err := admin.Delete(t.Context(), given); err != nil {
		t.Fatal(err)
	}
	until(t, "nothing is given any more", func() bool {
		defaults, known := o.Defaults(t.Context(), ns)
		return known && len(defaults.Requests) == 0
	})
	if lists := sent.count("limitranges?") - sent.count("watch=true"); lists > 1 {
		t.Errorf("%d lists", lists)
	}
}

// Where they may not be listed, the webhook is ready all the same, and says of no namespace that it has none.
func TestLimitRangesThatMayNotBeListed(t *testing.T) {
	ns := namespace(t, nil)
	limited := rest.CopyConfig(config)
	limited.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + ns + ":nobody", Groups: []string{"system:authenticated"}}
	o, sent := objectsAs(t, limited, cluster.Sources{LimitRanges: true})
	until(t, "it has asked in vain", func() bool { return sent.count("/limitranges") > 0 }) // and is ready
	if _, known := o.Defaults(t.Context(), ns); known {
		t.Error("it claims to know the defaults")
	}
}

// defaulted has the webhook's own process judge a template by its namespace's defaults. Its pods have them by the API server.
func defaulted(t *testing.T) {
	deployment := func(ns string) string {
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api, namespace: " + ns + "}\nspec:\n  selector: {matchLabels: {app: api}}\n" +
			"  template:\n    metadata: {labels: {app: api}}\n    spec: {containers: [{name: app, image: \"app:1\"}]}\n"
	}
	with, without := optedIn(t), optedIn(t)
	create(t, limits(with))
	apply := func(ns string) string {
		_, stderr, code := kubectl(t, deployment(ns), "apply", "--dry-run=server", "-f", "-")
		if code != 0 {
			t.Fatalf("%d: %s", code, stderr)
		}
		return stderr
	}
	until(t, "the defaults count", func() bool {
		return !strings.Contains(apply(with), "requests-missing") && !strings.Contains(apply(with), "memory-limit-missing")
	})
	if said := apply(without); !strings.Contains(said, "requests-missing") || !strings.Contains(said, "memory-limit-missing") {
		t.Errorf("without defaults it says %q", said)
	}
}
