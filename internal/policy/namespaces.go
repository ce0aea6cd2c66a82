package policy

// SystemNamespaces are Kubernetes' own, and those that AKS and its add-ons install. The chart excludes the same by
// default, whatever their labels say.
var SystemNamespaces = []string{"kube-system", "kube-public", "kube-node-lease", "aks-command", "aks-istio-egress", "aks-istio-ingress", "aks-istio-system",
	"app-routing-system", "azure-arc", "calico-system", "dapr-system", "flux-system", "gatekeeper-system", "tigera-operator"}

// OfAKS says whether a namespace carries the labels by which AKS keeps webhooks away from what is its own. The chart's selectors
// ask for the same.
func OfAKS(labels map[string]string) bool {
	return labels["control-plane"] == "true" || labels["kubernetes.azure.com/managedby"] == "aks"
}
