package policy

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
)

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

// DefaultsOf are what the LimitRanges of a namespace give containers.
func DefaultsOf(limits []corev1.LimitRange) Defaults {
	all := Defaults{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	for _, l := range limits {
		for _, item := range l.Spec.Limits {
			if item.Type == corev1.LimitTypeContainer {
				maps.Copy(all.Limits, item.Default)
				maps.Copy(all.Requests, item.Default) // what limits a container is requested, unless it is less
				maps.Copy(all.Requests, item.DefaultRequest)
			}
		}
	}
	return all
}
