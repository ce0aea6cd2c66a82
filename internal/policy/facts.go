package policy

import (
	"slices"
	"strings"
	"time"
)

// Facts are what mutators and rules may know besides the pod and the policy. They are gathered before, so that
// mutators and rules stay pure.
type Facts struct {
	Now             time.Time
	Namespace       string
	NamespaceLabels map[string]string
	Kubernetes      Kubernetes
	Requester       string   // user name of the request; empty offline
	RequesterGroups []string //
	Workload        Workload // what the pod belongs to, as its metadata says
	Template        bool     // the pod is a workload's template, judged as if its controller made it
	Offline         bool     // no request: a manifest on the command line
	AgentImage      string   // the image of injected agent containers
	// ServiceAccount holds the annotations of the pod's service account.
	ServiceAccount map[string]string
}

// Workload is the owner of a pod: Deployment/shop, or the kind and name of the template's object.
type Workload struct {
	Kind, Name string
}

func (w Workload) String() string {
	if w.Kind == "" {
		return ""
	}
	return w.Kind + "/" + w.Name
}

// Kubernetes are minor versions of 1.x: what the API server and the oldest kubelet of the cluster can do.
type Kubernetes struct {
	APIServer, OldestKubelet int
}

// AtLeast says whether both have reached 1.minor. Kubelets that nobody has seen yet count as the API server.
func (k Kubernetes) AtLeast(minor int) bool {
	return k.APIServer >= minor && (k.OldestKubelet == 0 || k.OldestKubelet >= minor)
}

// Controlled is the workload that really made the pod. An ownerReference alone can be forged, so it counts only where
// a controller asks, where a template is judged, or offline.
func (f Facts) Controlled(allowed []string) Workload {
	if f.Template || f.Offline || f.RequestedByController(allowed) {
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
