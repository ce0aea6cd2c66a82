package review

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
)

// workloadSpec is what rules look at of a workload; nil if it can't be read.
func workloadSpec(o manifest.Object) *policy.WorkloadSpec {
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
		return nil
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
	return spec
}
