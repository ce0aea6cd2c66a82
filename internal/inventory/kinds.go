package inventory

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"twelvefold.dev/internal/monitors"
	"twelvefold.dev/internal/policy"
)

// Kind is a kind of objects.
type Kind struct {
	schema.GroupVersionKind
	Resource string                // as RBAC names it
	Required bool                  // where it can't be read, nothing can be judged
	Labels   client.MatchingLabels // of those that are listed; nil: all
}

// Name is the resource with its group, as kubectl has it: scaledobjects.keda.sh.
func (k Kind) Name() string {
	return schema.GroupResource{Group: k.Group, Resource: k.Resource}.String()
}

// Workloads are what is judged. ReplicaSets are those of other controllers than Deployments, such as Argo's Rollouts, which
// most clusters don't have.
var Workloads = []Kind{
	required("apps", "Deployment", "deployments"),
	required("apps", "StatefulSet", "statefulsets"),
	required("apps", "DaemonSet", "daemonsets"),
	required("batch", "CronJob", "cronjobs"),
	required("batch", "Job", "jobs"),
	required("", "Pod", "pods"),
	optional("apps", "v1", "ReplicaSet", "replicasets"),
}

// Companions are what rules look for beside a workload.
var Companions = []Kind{
	optional("", "v1", "Service", "services"),
	optional("networking.k8s.io", "v1", "Ingress", "ingresses"),
	optional("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
	optional("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects"),
	optional("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
}

// Sources are what the webhook knows by its caches: what pods take references and defaults from, and what scrapes them.
// Secrets are never listed.
var Sources = append([]Kind{
	optional("", "v1", "LimitRange", "limitranges"),
	optional("", "v1", "ServiceAccount", "serviceaccounts"),
	{GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, Resource: "configmaps", Labels: client.MatchingLabels{policy.KeyVaultLabel: "true"}},
	optional("secrets-store.csi.x-k8s.io", "v1", "SecretProviderClass", "secretproviderclasses"),
	optional("spv.no", "v2beta1", "AzureKeyVaultSecret", "azurekeyvaultsecrets"),
}, scrapers()...)

// All are the kinds of all three.
func All() []Kind { return slices.Concat(Workloads, Companions, Sources) }

func required(group, kind, resource string) Kind {
	k := optional(group, "v1", kind, resource)
	k.Required = true
	return k
}

func optional(group, version, kind, resource string) Kind {
	return Kind{GroupVersionKind: schema.GroupVersionKind{Group: group, Version: version, Kind: kind}, Resource: resource}
}

func scrapers() (kinds []Kind) {
	resources := map[string]string{monitors.PodMonitor: "podmonitors", monitors.ServiceMonitor: "servicemonitors"}
	for _, gvk := range monitors.Kinds() {
		kinds = append(kinds, Kind{GroupVersionKind: gvk, Resource: resources[gvk.Kind]})
	}
	return kinds
}
