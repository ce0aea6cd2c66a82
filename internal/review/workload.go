package review

import (
	"cmp"
	"encoding/json"
	"maps"

	corev1 "k8s.io/api/core/v1"
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

// defaultsOf are what the LimitRanges among the objects give containers, by namespace.
func defaultsOf(objects []manifest.Object, namespace string) map[string]policy.Defaults {
	all := map[string]policy.Defaults{}
	for _, o := range objects {
		var limits corev1.LimitRange
		if o.APIVersion != "v1" || o.Kind != "LimitRange" || json.Unmarshal(o.JSON, &limits) != nil {
			continue
		}
		in := cmp.Or(o.Namespace, namespace)
		known := all[in]
		if known.Requests == nil {
			known = policy.Defaults{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
		}
		for _, item := range limits.Spec.Limits {
			if item.Type == corev1.LimitTypeContainer {
				maps.Copy(known.Limits, item.Default)
				maps.Copy(known.Requests, item.Default) // what limits a container is requested, unless it is less
				maps.Copy(known.Requests, item.DefaultRequest)
			}
		}
		all[in] = known
	}
	return all
}
