package policy

import corev1 "k8s.io/api/core/v1"

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
