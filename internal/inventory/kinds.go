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
	Workload bool                  // it makes pods, or is one
	Labels   client.MatchingLabels // of those that are listed; nil: all
}

// Name is the resource with its group, as kubectl has it: scaledobjects.keda.sh.
func (k Kind) Name() string {
	return schema.GroupResource{Group: k.Group, Resource: k.Resource}.String()
}

// Workloads are what is judged.
var Workloads = []Kind{
	workload("apps", "Deployment", "deployments"),
	workload("apps", "StatefulSet", "statefulsets"),
	workload("apps", "DaemonSet", "daemonsets"),
	workload("batch", "CronJob", "cronjobs"),
	workload("batch", "Job", "jobs"),
	workload("", "Pod", "pods"),
}

// Companions are what rules look for beside a workload.
var Companions = []Kind{
	companion("", "v1", "Service", "services"),
	companion("networking.k8s.io", "v1", "Ingress", "ingresses"),
	companion("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
	companion("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects"),
	companion("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
}

// Sources are what the webhook knows by its caches: what pods take references and defaults from, and what scrapes them.
// Secrets are never listed.
var Sources = append([]Kind{
	companion("", "v1", "LimitRange", "limitranges"),
	companion("", "v1", "ServiceAccount", "serviceaccounts"),
	{GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, Resource: "configmaps", Labels: client.MatchingLabels{policy.KeyVaultLabel: "true"}},
	companion("secrets-store.csi.x-k8s.io", "v1", "SecretProviderClass", "secretproviderclasses"),
	companion("spv.no", "v2beta1", "AzureKeyVaultSecret", "azurekeyvaultsecrets"),
}, scrapers()...)

// All are the kinds of all three.
func All() []Kind { return slices.Concat(Workloads, Companions, Sources) }

func workload(group, kind, resource string) Kind {
	k := companion(group, "v1", kind, resource)
	k.Workload = true
	return k
}

func companion(group, version, kind, resource string) Kind {
	return Kind{GroupVersionKind: schema.GroupVersionKind{Group: group, Version: version, Kind: kind}, Resource: resource}
}

func scrapers() (kinds []Kind) {
	resources := map[string]string{monitors.PodMonitor: "podmonitors", monitors.ServiceMonitor: "servicemonitors"}
	for _, gvk := range monitors.Kinds() {
		kinds = append(kinds, Kind{GroupVersionKind: gvk, Resource: resources[gvk.Kind]})
	}
	return kinds
}
