package rules

import (
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
			Allowed: "Workloads that differ by component; the same repository in another registry; Jobs, and Helm's tests. " + besides,
			Example: "metadata:\n  labels:\n    app.kubernetes.io/name: catalog\n    app.kubernetes.io/part-of: shop\n",
		},
		Check: checkOneAppOneCodebase,
	})
}

const componentLabel = "app.kubernetes.io/component"

func checkOneAppOneCodebase(s *Subject, report func(Violation)) {
	name := s.Pod.Labels[nameLabel]
	own := codebase(&s.Pod.Spec)
	if name == "" || own == "" || s.IsJob() || isHelmTest(s.Pod.Annotations) { // Jobs and tests run what an app needs: admin-image-mismatch
		return
	}
	others, known := s.neighbours()
	if !known {
		return
	}
	for _, other := range others {
		labels := other.Template.Labels
		if other.Workload == s.Workload || labels[nameLabel] != name || labels[componentLabel] != s.Pod.Labels[componentLabel] {
			continue // there may be thousands
		}
		if image := codebase(&other.Template.Spec); image != "" && image != own {
			report(Violation{Path: fmt.Sprintf("metadata.labels[%q]", nameLabel), Message: fmt.Sprintf("%s is also the name of %s, which runs %s and not %s", name, other.Workload, image, own),
				Fix: "give each codebase a name of its own, or each part its own " + componentLabel})
			return
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
