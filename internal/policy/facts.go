package policy

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/policy/expression"
)

// Facts are what mutators and rules may know besides the pod and the policy. They are gathered before, so that
// mutators and rules stay pure.
type Facts struct {
	Now             time.Time
	Namespace       string
	NamespaceLabels map[string]string
	Kubernetes      Kubernetes
	Requester       string        // user name of the request; empty offline
	RequesterGroups []string      //
	Workload        Workload      // what the pod belongs to, as its metadata says
	WorkloadSpec    *WorkloadSpec // of the workload under review; nil where only the pod is known
	Template        bool          // the pod is a workload's template, judged as if its controller made it
	Offline         bool          // no request: an object that the command line judges
	Running         bool          // no request: an object of the cluster, which was admitted when it was made
	AgentImage      string        // the image of injected agent containers
	// ServiceAccount holds the annotations of the pod's service account.
	ServiceAccount map[string]string
	// ServiceAccountUnread says that they could not be read: it may have some.
	ServiceAccountUnread bool

	Lookup
}

// Lookup answers what a mutator asks about things that the pod refers to, from caches. A nil function knows nothing.
type Lookup struct {
	// Object finds an object of the pod's namespace by its kind, as JSON: a ConfigMap that is labelled [KeyVaultLabel],
	// a SecretProviderClass, an AzureKeyVaultSecret. nil: nobody knows it.
	Object func(kind, name string) []byte
	// Objects are all objects of a kind in the pod's namespace, in a stable order. They are known to those who have them all
	// at hand: the command line and the background scan, as far as they may read the kind; not the webhook.
	Objects func(kind string) (all *List, known bool)
	// Twins are the workloads of a kind and a name in all namespaces, in the order of these; the workload itself is one of them.
	Twins func(Workload) []Twin
	// Entrypoint is what an image starts: its ENTRYPOINT and CMD.
	Entrypoint func(image string) (entrypoint, cmd []string, err error)
	// Labels are those of an image, as far as they are org.opencontainers.image.*. Only who may take the time to ask registries
	// knows them: the command line and the background scan, where they are told to.
	Labels func(image string) (map[string]string, error)
	// Secret is what is known of an object of a vault without its value.
	Secret func(keyvault.Object) Metadata
	// Monitored names the PodMonitor or ServiceMonitor, as "PodMonitor monitoring/shop", that scrapes such a pod in the
	// pod's namespace; empty if none does.
	Monitored func(*corev1.Pod) string
	// Defaults are those of the pod's namespace; not known where nobody may read them. A pod in a request has them already; a
	// template has not.
	Defaults func() (defaults Defaults, known bool)
}

// Twin is a workload as far as others of its name in other namespaces are compared with it.
type Twin struct {
	Namespace string
	// Template is its pod template as JSON: the label app.kubernetes.io/name, and of containers their names, images and which
	// variables they have. No value of a variable is in it.
	Template []byte
}

// StatusAnnotation tells what was done to a pod, and what was skipped and why.
const StatusAnnotation = "twelvefold.dev/status"

// KeyVaultLabel marks the ConfigMaps whose references to Key Vault are resolved, by the value true.
const KeyVaultLabel = "twelvefold.dev/keyvault"

// Metadata is what Key Vault tells of an object to those who may not read its value.
type Metadata struct {
	State   MetadataState
	Enabled bool
	// NotBefore and Expires bound the time in which it is valid; zero is no bound.
	NotBefore, Expires time.Time
	Nearest            string    // where it is missing: the existing name that is most like it, or empty
	Problem            string    // where it is unknown: why, in a few words; empty if the vault has not answered yet
	Asked              time.Time // where it is missing or exists: when the vault was asked, which may have changed since
}

// Valid says whether Key Vault would give the object to who reads it in accordance with its dates.
func (m Metadata) Valid(now time.Time) bool {
	return m.State == Exists && m.Enabled && !now.Before(m.NotBefore) && (m.Expires.IsZero() || now.Before(m.Expires))
}

// MetadataState is how much is known.
type MetadataState int

// The states. Unverified is that of everything where nobody verifies.
const (
	Unverified MetadataState = iota
	Unknown                  // the vault can't be asked, or has not answered yet
	Missing
	Exists
)

// Kubernetes are minor versions of 1.x: what the API server and the oldest kubelet of the cluster can do.
type Kubernetes struct {
	APIServer, OldestKubelet int
}

// NewestKubernetes is the newest minor version of Kubernetes that this version of Twelvefold knows.
const NewestKubernetes = expression.Kubernetes

// AtLeast says whether both have reached 1.minor. Kubelets that nobody has seen yet count as the API server.
func (k Kubernetes) AtLeast(minor int) bool {
	return k.APIServer >= minor && (k.OldestKubelet == 0 || k.OldestKubelet >= minor)
}

// Controlled is the workload that really made the pod. An ownerReference alone can be forged, so it counts only where
// a controller asks, where a template is judged, or where nobody asks.
func (f Facts) Controlled(allowed []string) Workload {
	if f.Template || f.Offline || f.Running || f.RequestedByController(allowed) {
		return f.Workload
	}
	return Workload{}
}

// RequestedByController says whether the request comes from Kubernetes' own controllers, or from a requester that the
// policy allows (globs of user names).
func (f Facts) RequestedByController(allowed []string) bool {
	switch {
	case strings.HasPrefix(f.Requester, "system:serviceaccount:kube-system:") && strings.HasSuffix(f.Requester, "-controller"),
		f.Requester == "system:kube-controller-manager",
		f.Requester == "system:kube-scheduler",
		slices.Contains(f.RequesterGroups, "system:nodes"): // mirror pods
		return true
	}
	return matchesAny(allowed, f.Requester)
}
