package review

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
)

// workloadOf is the workload whose template the object holds, and what else rules look at of it; nil if that can't be read. The
// ReplicaSet of a Deployment is judged as its pods are: as the Deployment's, which exemptions name.
func workloadOf(o manifest.Object) (policy.Workload, *policy.WorkloadSpec) {
	self := policy.Workload{Kind: o.Kind, Name: o.Name}
	type jobSpec struct {
		ActiveDeadlineSeconds   *int64
		TTLSecondsAfterFinished *int32
	}
	var workload struct {
		Metadata metav1.ObjectMeta
		Spec     struct {
			jobSpec
			Replicas    *int32
			JobTemplate struct{ Spec jobSpec }
		}
	}
	if json.Unmarshal(o.JSON, &workload) != nil {
		return self, nil
	}
	if owner := policy.OwnerOf(&workload.Metadata); o.Kind == "ReplicaSet" && owner.Kind == "Deployment" {
		return owner, nil
	}
	spec := &policy.WorkloadSpec{Replicas: workload.Spec.Replicas}
	job := workload.Spec.jobSpec
	if o.Kind == "CronJob" {
		job = workload.Spec.JobTemplate.Spec
	}
	spec.ActiveDeadlineSeconds, spec.TTL = job.ActiveDeadlineSeconds, job.TTLSecondsAfterFinished
	_, hook := workload.Metadata.Annotations["helm.sh/hook"]
	_, argoHook := workload.Metadata.Annotations["argocd.argoproj.io/hook"]
	spec.Hook = hook || argoHook
	spec.Standalone = o.Kind == "Job" && !spec.Hook && metav1.GetControllerOf(&workload.Metadata) == nil
	return self, spec
}
