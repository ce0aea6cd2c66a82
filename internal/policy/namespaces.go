package policy

// SystemNamespaces are Kubernetes' own, and those that AKS and its add-ons install. The chart excludes the same by
// default, whatever their labels say.
var SystemNamespaces = []string{"kube-system", "kube-public", "kube-node-lease", "aks-command", "aks-istio-egress", "aks-istio-ingress", "aks-istio-system",
	"app-routing-system", "azure-arc", "calico-system", "dapr-system", "flux-system", "gatekeeper-system", "tigera-operator"}
