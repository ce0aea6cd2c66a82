// Package cluster knows what the webhook must know of the cluster, and keeps it in caches that fill in the background:
// labels of opted-in namespaces, annotations of service accounts, objects that hold references to Key Vault, LimitRanges,
// monitors that scrape pods, and the versions of the API server and the kubelets.
package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/policy"
)

// OptInLabel is the namespace label that brings a namespace under Twelvefold.
const OptInLabel = "twelvefold.dev/admission"

const (
	// liveTimeout bounds the question to the API server about an object that the cache has not heard of yet: a
	// namespace or service account made a moment before its first pod.
	liveTimeout = time.Second
	// versionPeriod is how often nodes are listed: versions change when nodes are replaced.
	versionPeriod = 5 * time.Minute
	nodePage      = 200
)

// Cluster answers from caches.
type Cluster struct {
	Cache     client.Reader
	Live      client.Reader
	Discovery discovery.ServerVersionInterface
	Objects   *Objects
	Excluded  []string // namespaces that are left alone, whatever their labels
	Log       *slog.Logger

	versions atomic.Pointer[policy.Kubernetes]
}

// NamespaceLabels are the labels of a namespace, nil if nobody knows it.
func (c *Cluster) NamespaceLabels(ctx context.Context, name string) map[string]string {
	object, _ := c.metadata(ctx, "Namespace", client.ObjectKey{Name: name}) // logged
	return object.Labels
}

// OptedIn are the names of the namespaces that the webhook is called for: opted in, and neither excluded nor AKS's own. Those
// that are being deleted are left out, too.
func (c *Cluster) OptedIn(ctx context.Context) ([]string, error) {
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := c.Cache.List(ctx, &list, client.MatchingLabels{OptInLabel: "enabled"}); err != nil {
		return nil, err
	}
	var names []string
	for _, namespace := range list.Items {
		if namespace.DeletionTimestamp != nil || slices.Contains(c.Excluded, namespace.Name) || policy.OfAKS(namespace.Labels) {
			continue
		}
		names = append(names, namespace.Name)
	}
	return names, nil
}

// ServiceAccount are the annotations of a service account, nil if there is none. An error says that nobody could tell.
func (c *Cluster) ServiceAccount(ctx context.Context, namespace, name string) (map[string]string, error) {
	object, err := c.metadata(ctx, "ServiceAccount", client.ObjectKey{Namespace: namespace, Name: name})
	return object.Annotations, client.IgnoreNotFound(err)
}

// Object is an object that pods take references from, as [policy.Lookup] has it.
func (c *Cluster) Object(ctx context.Context, namespace, kind, name string) []byte {
	return c.Objects.Object(ctx, namespace, kind, name)
}

// Defaults are those of a namespace, as [policy.Lookup] has it.
func (c *Cluster) Defaults(ctx context.Context, namespace string) (defaults policy.Defaults, known bool) {
	return c.Objects.Defaults(ctx, namespace)
}

// Monitored names the monitor that scrapes a pod, as [policy.Lookup] has it.
func (c *Cluster) Monitored(namespace string, pod *corev1.Pod) string {
	return c.Objects.monitors.Scrapes(namespace, pod)
}

func (c *Cluster) metadata(ctx context.Context, kind string, key client.ObjectKey) (metav1.PartialObjectMetadata, error) {
	var object metav1.PartialObjectMetadata
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
	if c.Cache.Get(ctx, key, &object) == nil {
		return object, nil
	}
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	err := c.Live.Get(ctx, key, &object)
	if err != nil {
		c.Log.Warn("unknown object", "kind", kind, "namespace", key.Namespace, "name", key.Name, "error", err)
	}
	return object, err
}

// Kubernetes are the versions as last seen.
func (c *Cluster) Kubernetes() policy.Kubernetes {
	if v := c.versions.Load(); v != nil {
		return *v
	}
	return policy.Kubernetes{}
}

// Ready fails until the versions are known.
func (c *Cluster) Ready(*http.Request) error {
	if c.versions.Load() == nil {
		return fmt.Errorf("the cluster's versions are not known yet")
	}
	return nil
}

// NeedLeaderElection is false: every replica answers.
func (c *Cluster) NeedLeaderElection() bool { return false }

// Start looks at the versions until the context ends: often until they are known, seldom afterwards.
func (c *Cluster) Start(ctx context.Context) error {
	for ctx.Err() == nil {
		period := time.Second
		if found, err := c.readVersions(ctx); ctx.Err() != nil {
			break
		} else if err != nil {
			c.Log.Warn("reading the cluster's versions failed", "error", err)
		} else {
			c.versions.Store(&found)
		}
		if c.versions.Load() != nil {
			period = wait.Jitter(versionPeriod, 0.2)
		}
		select {
		case <-ctx.Done():
		case <-time.After(period):
		}
	}
	return nil
}

func (c *Cluster) readVersions(ctx context.Context) (policy.Kubernetes, error) {
	return ReadVersions(ctx, discovery.ToServerVersionInterfaceWithContext(c.Discovery), c.Live)
}

// ReadVersions asks for the versions of the API server and of all nodes. Where only the nodes can't be read, the API server's
// is there beside the error.
func ReadVersions(ctx context.Context, d discovery.ServerVersionInterfaceWithContext, live client.Reader) (policy.Kubernetes, error) {
	var found policy.Kubernetes
	server, err := d.ServerVersionWithContext(ctx)
	if err != nil {
		return found, err
	}
	if found.APIServer, err = strconv.Atoi(strings.TrimRight(server.Minor, "+")); err != nil {
		return found, fmt.Errorf("the API server's minor version is %q", server.Minor)
	}
	nodes := &corev1.NodeList{}
	for first := true; first || nodes.Continue != ""; first = false {
		if err := live.List(ctx, nodes, client.Limit(nodePage), client.Continue(nodes.Continue)); err != nil {
			return policy.Kubernetes{APIServer: found.APIServer}, err
		}
		for _, node := range nodes.Items {
			kubelet, err := version.ParseGeneric(node.Status.NodeInfo.KubeletVersion)
			if err != nil || virtual(node) {
				continue
			}
			if minor := int(kubelet.Minor()); found.OldestKubelet == 0 || minor < found.OldestKubelet {
				found.OldestKubelet = minor
			}
		}
	}
	return found, nil
}

// virtual says whether a node is one of Virtual Kubelet, such as AKS's virtual nodes on Container Instances. Their versions
// are years behind, and say nothing about the kubelets that pods run on by default.
func virtual(node corev1.Node) bool {
	return node.Labels["type"] == "virtual-kubelet" ||
		slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == "virtual-kubelet.io/provider" })
}
