package integration

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/cluster"
)

// A requestLog counts requests to the API server by what their URL holds.
type requestLog struct {
	mu   sync.Mutex
	urls []string
}

func (l *requestLog) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range l.urls {
		if strings.Contains(u, part) {
			n++
		}
	}
	return n
}

func (l *requestLog) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		l.mu.Lock()
		l.urls = append(l.urls, r.URL.String())
		l.mu.Unlock()
		return next.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// objects looks things up in the API server, and notes what it sends.
func objects(t *testing.T, sources cluster.Sources) (*cluster.Objects, *requestLog) {
	t.Helper()
	return objectsAs(t, config, sources)
}

// objectsAs does so with the rights of a configuration.
func objectsAs(t *testing.T, as *rest.Config, sources cluster.Sources) (*cluster.Objects, *requestLog) {
	t.Helper()
	sent := &requestLog{}
	noted := rest.CopyConfig(as)
	noted.Wrap(sent.wrap)
	held, err := cache.New(noted, cluster.CacheOptions())
	if err != nil {
		t.Fatal(err)
	}
	live, err := client.New(noted, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(noted)
	if err != nil {
		t.Fatal(err)
	}
	o := &cluster.Objects{Cache: held, Live: live, Discovery: kinds, Sources: sources, Log: slog.New(slog.DiscardHandler), Period: 50 * time.Millisecond}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	until(t, "the kinds are known", func() bool { return o.Ready(nil) == nil })
	return o, sent
}

func configMap(namespace, name string, labels map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Data: map[string]string{"DB": reference}}
}

var labelled = map[string]string{"twelvefold.dev/keyvault": "true"}

func TestLabelledConfigMapsAreFound(t *testing.T) {
	o, sent := objects(t, cluster.Sources{ConfigMaps: true})
	ns := namespace(t, nil)
	created := configMap(ns, "settings", labelled)
	create(t, created, configMap(ns, "private", nil), configMap(ns, "other", map[string]string{"twelvefold.dev/keyvault": "false"}))

	check := func(data []byte) {
		t.Helper()
		var got struct {
			Kind     string
			Metadata metav1.ObjectMeta
			Data     map[string]string
		}
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatalf("%v in %q", err, data)
		}
		if got.Kind != "ConfigMap" || got.Data["DB"] != reference || got.Metadata.ManagedFields != nil {
			t.Errorf("got %s", data)
		}
	}
	check(o.Object(t.Context(), ns, "ConfigMap", "settings")) // made a moment ago
	asked := -1
	until(t, "the cache has it", func() bool {
		asked = sent.count("fieldSelector")
		check(o.Object(t.Context(), ns, "ConfigMap", "settings"))
		return asked == sent.count("fieldSelector")
	})
	for _, name := range []string{"private", "other", "absent"} {
		for range 3 {
			if data := o.Object(t.Context(), ns, "ConfigMap", name); data != nil {
				t.Errorf("%s: %s", name, data)
			}
		}
		if n := sent.count("metadata.name%3D" + name); n != 1 {
			t.Errorf("%d questions for %s, want 1", n, name)
		}
	}
	held := &unstructured.UnstructuredList{}
	held.SetAPIVersion("v1")
	held.SetKind("ConfigMapList")
	if err := o.Cache.List(t.Context(), held, client.InNamespace(ns)); err != nil || len(held.Items) != 1 {
		t.Errorf("the cache holds %d ConfigMaps of the namespace (%v), want 1", len(held.Items), err)
	}
	if n := sent.count("/configmaps") - sent.count("labelSelector=twelvefold.dev%2Fkeyvault%3Dtrue"); n != 0 {
		t.Errorf("%d requests for ConfigMaps without the label", n)
	}
	created.Labels = nil
	if err := admin.Update(t.Context(), created); err != nil {
		t.Fatal(err)
	}
	until(t, "it is forgotten without the label", func() bool { return o.Object(t.Context(), ns, "ConfigMap", "settings") == nil })
	for _, kind := range []string{"Secret", "SecretProviderClass", "Pod", ""} {
		if data := o.Object(t.Context(), ns, kind, "settings"); data != nil {
			t.Errorf("%q: %s", kind, data)
		}
	}
}

func TestSourcesThatAreOffAreNotRead(t *testing.T) {
	o, sent := objects(t, cluster.Sources{})
	ns := namespace(t, nil)
	create(t, configMap(ns, "settings", labelled))
	if data := o.Object(t.Context(), ns, "ConfigMap", "settings"); data != nil || sent.count("configmaps") > 0 || sent.count("spv.no") > 0 {
		t.Errorf("%s; %d requests for ConfigMaps, %d for AzureKeyVaultSecrets", data, sent.count("configmaps"), sent.count("spv.no"))
	}
}

// The kinds of other projects come and go.
func TestKindsMayBeInstalledAndRemoved(t *testing.T) {
	all := cluster.Sources{ConfigMaps: true, SecretProviderClasses: true, AzureKeyVaultSecrets: true}
	before, sent := objects(t, all)
	ns := namespace(t, nil)
	for range 3 {
		if data := before.Object(t.Context(), ns, "SecretProviderClass", "shop"); data != nil || sent.count("secretproviderclasses") > 0 {
			t.Fatalf("%s; %d requests for a kind that there is not", data, sent.count("secretproviderclasses"))
		}
	}

	uninstall := installCRDs(t, "testdata/crds")
	after, _ := objects(t, all)
	kinds := map[string]string{"SecretProviderClass": "secrets-store.csi.x-k8s.io/v1", "AzureKeyVaultSecret": "spv.no/v2beta1"}
	for kind, version := range kinds {
		object := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"mark": kind}}}
		object.SetAPIVersion(version)
		object.SetKind(kind)
		object.SetNamespace(ns)
		object.SetName("shop")
		create(t, object)
		found := func(o *cluster.Objects) func() bool {
			return func() bool {
				return strings.Contains(string(o.Object(t.Context(), ns, kind, "shop")), `"spec":{"mark":"`+kind+`"}`)
			}
		}
		if !found(after)() {
			t.Errorf("%s, made a moment ago, is not found", kind)
		}
		until(t, kind+" is found where it was installed later", found(before))
	}

	uninstall()
	for kind := range kinds {
		until(t, kind+" is gone", func() bool { return before.Object(t.Context(), ns, kind, "shop") == nil })
	}
	// Nobody asks for it any more: neither requests nor the informer, which would fill the log.
	until(t, "the kinds are looked for once more", looks(sent))
	asked := sent.count("secretproviderclasses")
	for range 3 {
		before.Object(t.Context(), ns, "SecretProviderClass", "shop")
		until(t, "the kinds are looked for once more", looks(sent))
	}
	if n := sent.count("secretproviderclasses"); n != asked {
		t.Errorf("%d requests for a kind that has gone", n-asked)
	}
}

// looks says whether the kinds have been looked for since it was made.
func looks(sent *requestLog) func() bool {
	last := sent.count("/apis/spv.no/v2beta1")
	return func() bool { return sent.count("/apis/spv.no/v2beta1") > last+1 }
}

// fromConfigMap is about references in ConfigMaps that were made a moment before their pod.
func fromConfigMap(t *testing.T) {
	ns := optedIn(t)
	create(t, configMap(ns, "settings", labelled), configMap(ns, "private", nil))
	from := func(name string) *corev1.Pod {
		p := pod(ns, "app:1")
		p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}}}
		create(t, p)
		return p
	}
	checkResolved(t, from("settings"), 0)
	if p := from("private"); len(p.Spec.Containers[0].Env) > 0 || len(p.Spec.InitContainers) > 0 {
		t.Errorf("a ConfigMap without the label is resolved: %+v", p.Spec)
	}
}
