package rules

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/policy"
)

// one-app-one-codebase
//
//	restricted: the first container's image in workloads with the same app.kubernetes.io/name and component
//	allowed:    other components; the same image from another registry or with another tag
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "one-app-one-codebase", Factor: "I", Levels: policy.At(policy.Audit)},
		Page: policy.Page{
			Title:   "One app's name stands for several codebases",
			Why:     "One app is one codebase. Where a name stands on pods of two, a Service may send requests to both, dashboards add up what does not belong together, and nobody can say which version of the app runs.",
			Fix:     "Give each codebase a name of its own, and tie them together by app.kubernetes.io/part-of; parts of one codebase that run by themselves differ by app.kubernetes.io/component.",
			Allowed: "Workloads that differ by component; the same repository in another registry; Jobs, and Helm's tests. The rule needs the other workloads among the given objects: the webhook sees pods only, and does not judge it.",
			Example: "metadata:\n  labels:\n    app.kubernetes.io/name: catalog\n    app.kubernetes.io/part-of: shop\n",
		},
		Check: checkOneAppOneCodebase,
	})
}

const componentLabel = "app.kubernetes.io/component"

func checkOneAppOneCodebase(s *Subject, report func(Violation)) {
	name := s.Pod.Labels[nameLabel]
	own := codebase(&s.Pod.Spec)
	if s.Facts.Objects == nil || name == "" || own == "" || s.IsJob() || isHelmTest(s.Pod.Annotations) { // Jobs and tests run what an app needs: admin-image-mismatch
		return
	}
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet"} {
		for _, data := range s.Facts.Objects(kind) {
			var other struct {
				Metadata struct{ Name string }
				Spec     struct{ Template corev1.PodTemplateSpec }
			}
			if json.Unmarshal(data, &other) != nil || kind == s.Workload.Kind && other.Metadata.Name == s.Workload.Name {
				continue
			}
			labels := other.Spec.Template.Labels
			image := codebase(&other.Spec.Template.Spec)
			if labels[nameLabel] == name && labels[componentLabel] == s.Pod.Labels[componentLabel] && image != "" && image != own {
				report(Violation{Path: fmt.Sprintf("metadata.labels[%q]", nameLabel), Message: fmt.Sprintf("%s is also the name of %s/%s, which runs %s and not %s", name, kind, other.Metadata.Name, image, own),
					Fix: "give each codebase a name of its own, or each part its own " + componentLabel})
				return
			}
		}
	}
}

// codebase is the last segment of the first container's image name: registries and folders differ by environment.
func codebase(spec *corev1.PodSpec) string {
	if len(spec.Containers) == 0 {
		return ""
	}
	ref, err := image.Parse(spec.Containers[0].Image)
	if err != nil {
		return ""
	}
	return ref.Base()
}
