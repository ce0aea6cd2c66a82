package policy

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
)

// LabelsOf are the labels of a namespace as the API server has them: it adds the name, which manifests leave out.
func LabelsOf(namespace string, labels map[string]string) map[string]string {
	if namespace == "" || labels[corev1.LabelMetadataName] == namespace {
		return labels
	}
	all := map[string]string{}
	maps.Copy(all, labels)
	all[corev1.LabelMetadataName] = namespace
	return all
}

// SystemNamespaces are Kubernetes' own, and those that AKS and its add-ons install. The chart excludes the same by
// default, whatever their labels say.
var SystemNamespaces = []string{"kube-system", "kube-public", "kube-node-lease", "aks-command", "aks-istio-egress", "aks-istio-ingress", "aks-istio-system",
	"app-routing-system", "azure-arc", "calico-system", "dapr-system", "flux-system", "gatekeeper-system", "tigera-operator"}

// OfAKS says whether a namespace carries the labels by which AKS keeps webhooks away from what is its own. The chart's selectors
// ask for the same.
func OfAKS(labels map[string]string) bool {
	return labels["control-plane"] == "true" || labels["kubernetes.azure.com/managedby"] == "aks"
}
