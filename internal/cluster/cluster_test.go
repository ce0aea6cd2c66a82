package cluster_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"twelvefold.dev/internal/cluster"
	"twelvefold.dev/internal/policy"
)

type serverVersion string

func (minor serverVersion) ServerVersion() (*version.Info, error) {
	return &version.Info{Major: "1", Minor: string(minor)}, nil
}

func node(name, kubelet string, labels map[string]string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{KubeletVersion: kubelet}}}
}

// Virtual nodes call themselves as they like, and stay years behind: they must not hold back the whole cluster.
func TestTheOldestKubeletIsThatOfARealNode(t *testing.T) {
	virtual := map[string]string{"type": "virtual-kubelet"}
	tainted := node("virtualnode-0", "v1.30.0", nil)
	tainted.Spec.Taints = []corev1.Taint{{Key: "virtual-kubelet.io/provider", Value: "azure", Effect: corev1.TaintEffectNoSchedule}}
	for name, test := range map[string]struct {
		nodes []client.Object
		want  policy.Kubernetes
	}{
		"no nodes yet":  {nil, policy.Kubernetes{APIServer: 37}},
		"the oldest":    {[]client.Object{node("a", "v1.37.2", nil), node("b", "v1.35.0", nil), node("c", "v1.36.1-gke.1", nil)}, policy.Kubernetes{APIServer: 37, OldestKubelet: 35}},
		"virtual nodes": {[]client.Object{node("a", "v1.37.2", nil), node("aci", "v1.25.0-vk-azure-aci-1.6.2", virtual), tainted}, policy.Kubernetes{APIServer: 37, OldestKubelet: 37}},
		"unreadable":    {[]client.Object{node("a", "v1.37.2", nil), node("odd", "latest", nil)}, policy.Kubernetes{APIServer: 37, OldestKubelet: 37}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				c := &cluster.Cluster{Discovery: serverVersion("37+"), Log: slog.New(slog.DiscardHandler),
					Live: fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(test.nodes...).Build()}
				if c.Ready(nil) == nil {
					t.Error("ready before the versions are known")
				}
				go func() { _ = c.Start(ctx) }()
				synctest.Wait()
				if err := c.Ready(nil); err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(test.want, c.Kubernetes()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// A pod must not be told to annotate a service account that merely could not be read.
func TestAServiceAccountThatCannotBeReadIsAnError(t *testing.T) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api", Annotations: map[string]string{"a": "b"}}}
	empty := fake.NewClientBuilder().WithScheme(scheme.Scheme).Build()
	for name, test := range map[string]struct {
		live    error
		account string
		want    map[string]string
		fails   bool
	}{
		"read":    {nil, "api", map[string]string{"a": "b"}, false},
		"none":    {nil, "absent", nil, false},
		"busy":    {apierrors.NewTooManyRequestsError("busy"), "api", nil, true},
		"silent":  {context.DeadlineExceeded, "api", nil, true},
		"refused": {apierrors.NewForbidden(schema.GroupResource{Resource: "serviceaccounts"}, "api", nil), "api", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			live := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(account).WithInterceptorFuncs(interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
					if test.live != nil {
						return test.live
					}
					return c.Get(ctx, key, o, opts...)
				}}).Build()
			c := &cluster.Cluster{Cache: empty, Live: live, Log: slog.New(slog.DiscardHandler)}
			got, err := c.ServiceAccount(t.Context(), "shop", test.account)
			if diff := cmp.Diff(test.want, got); diff != "" || (err != nil) != test.fails {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
}

// What works in the background leaves alone what the webhook is never called for.
func TestOptedIn(t *testing.T) {
	var objects []client.Object
	for name, label := range map[string]string{"shop": "", "kube-system": "", "twelvefold": "", "mesh": "kubernetes.azure.com/managedby=aks", "gatekeeper": "control-plane=true"} {
		labels := map[string]string{cluster.OptInLabel: "enabled"}
		if key, value, found := strings.Cut(label, "="); found {
			labels[key] = value
		}
		objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}})
	}
	leaving := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "leaving", Labels: map[string]string{cluster.OptInLabel: "enabled"},
		DeletionTimestamp: &metav1.Time{Time: time.Now()}, Finalizers: []string{"kubernetes"}}}
	out := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "out", Labels: map[string]string{cluster.OptInLabel: "disabled"}}}
	c := &cluster.Cluster{Cache: fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(append(objects, leaving, out)...).Build(),
		Excluded: []string{"kube-system", "twelvefold"}}
	got, err := c.OptedIn(t.Context())
	if diff := cmp.Diff([]string{"shop"}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
