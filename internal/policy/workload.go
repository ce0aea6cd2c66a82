package policy

import (
	"maps"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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

// WorkloadKinds are Kubernetes' own workloads, which have a template of their pods.
var WorkloadKinds = []string{"CronJob", "DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet"}

// scheduled is how the names of a CronJob's Jobs end: in the minute at which they were due, counted from 1970.
var scheduled = regexp.MustCompile(`-[0-9]{8}$`)

// CronJob is the CronJob that made a Job, by the Job's name: its pods name the Job alone.
func (w Workload) CronJob() (Workload, bool) {
	at := scheduled.FindStringIndex(w.Name)
	if w.Kind != "Job" || at == nil {
		return Workload{}, false
	}
	return Workload{Kind: "CronJob", Name: w.Name[:at[0]]}, true
}

// OwnerOf is the workload that an object belongs to by its metadata; of a pod the Deployment rather than the ReplicaSet in
// between, whose name ends in the pod's template hash.
func OwnerOf(object metav1.Object) Workload {
	owner := metav1.GetControllerOf(object)
	if owner == nil {
		return Workload{}
	}
	if hash := object.GetLabels()["pod-template-hash"]; owner.Kind == "ReplicaSet" && hash != "" {
		if name, ok := strings.CutSuffix(owner.Name, "-"+hash); ok {
			return Workload{Kind: "Deployment", Name: name}
		}
	}
	return Workload{Kind: owner.Kind, Name: owner.Name}
}

// WorkloadSpec is what rules look at of a workload besides its template.
type WorkloadSpec struct {
	Replicas              *int32 // as written; nil is 1
	ActiveDeadlineSeconds *int64 // of a Job
	TTL                   *int32 // ttlSecondsAfterFinished of a Job
	Hook                  bool   // a Job of Helm or Argo CD, which wait for it and report what takes too long
	Standalone            bool   // a Job that nothing else deletes: no controller, no Helm hook
}

// Defaults are the resources that a LimitRange of the namespace gives containers that name none.
type Defaults struct{ Requests, Limits corev1.ResourceList }

// DefaultsOf are what the LimitRanges of a namespace give containers. Manifests don't show what the API server fills in: max
// where there is no default, and min where there is no defaultRequest.
func DefaultsOf(limits []corev1.LimitRange) Defaults {
	all := Defaults{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	for _, l := range limits {
		for _, item := range l.Spec.Limits {
			if item.Type == corev1.LimitTypeContainer {
				for _, limits := range []corev1.ResourceList{item.Max, item.Default} {
					maps.Copy(all.Limits, limits)
				}
				for _, requests := range []corev1.ResourceList{item.Min, item.Max, item.Default, item.DefaultRequest} { // the last one counts
					maps.Copy(all.Requests, requests)
				}
			}
		}
	}
	return all
}
