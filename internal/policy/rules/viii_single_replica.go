package rules

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/policy"
)

// single-replica
//
//	restricted: replicas of Deployments that a Service selects, where the other objects are given
//	allowed:    a HorizontalPodAutoscaler or a ScaledObject; what no Service selects for clients; claims; StatefulSets
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "single-replica", Factor: "VIII", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title:   "A service has one replica",
			Why:     "When its node is drained, upgraded or lost, nobody answers until another pod has started. An app that has only ever run once often can't run twice: it finds out on the day on which it must.",
			Fix:     "Write replicas: 2 or more, with a PodDisruptionBudget, or let a HorizontalPodAutoscaler or KEDA decide. Not for a database or broker: each replica of its Deployment would have data of its own.",
			Allowed: "Deployments that a HorizontalPodAutoscaler or a ScaledObject scales, that are scaled to 0, or that no Service selects but for its metrics (workers, operators); those that write to a claim, which a second replica could not share; StatefulSets. " + besides,
			Example: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec:\n  replicas: 2\n  selector: {matchLabels: {app.kubernetes.io/name: shop}}\n  template:\n    metadata: {labels: {app.kubernetes.io/name: shop}}\n    spec:\n      containers: [{name: api, image: \"contoso.azurecr.io/shop:1.4.2\"}]\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			spec := s.Facts.WorkloadSpec
			if spec == nil || s.Workload.Kind != "Deployment" || spec.Replicas != nil && *spec.Replicas != 1 || s.holdsClaim() {
				return
			}
			if scaled, known := s.scaled(); scaled || !known {
				return
			}
			if service := s.service(); service != "" {
				fix := "write replicas: 2, or add a HorizontalPodAutoscaler"
				if main := s.Containers(Main); len(main) > 0 && isDatabase(main[0]) {
					fix = "use a managed service, or a StatefulSet whose replicas copy the data: replicas: 2 would be two databases"
				}
				report(Violation{Path: "spec.replicas", OfWorkload: true, Message: "one replica answers for the Service " + service + ", and nothing scales it", Fix: fix})
			}
		},
	})
}

// holdsClaim says whether the pod writes to a claim: a second one would need it too, and replicated-pvc speaks of that.
func (s *Subject) holdsClaim() bool {
	return slices.ContainsFunc(s.Pod.Spec.Volumes, func(v corev1.Volume) bool {
		return v.PersistentVolumeClaim != nil && !v.PersistentVolumeClaim.ReadOnly && s.writes(v.Name)
	})
}

// scaler is what is read of a HorizontalPodAutoscaler or ScaledObject.
type scaler struct {
	Spec struct{ ScaleTargetRef struct{ Kind, Name string } }
}

// scaled says whether something among the given objects decides how many replicas the workload has.
func (s *Subject) scaled() (scaled, known bool) {
	for _, kind := range []string{"HorizontalPodAutoscaler", "ScaledObject"} {
		scalers, known := objects[scaler](s, kind)
		if !known {
			return false, false
		}
		for _, scaler := range scalers {
			target := scaler.Spec.ScaleTargetRef
			if target.Name == s.Workload.Name && cmp.Or(target.Kind, "Deployment") == s.Workload.Kind { // KEDA's default
				return true, true
			}
		}
	}
	return false, true
}

// service is the first of the given Services that sends requests to the pod; empty if none does.
func (s *Subject) service() string {
	services, _ := s.services() // one is enough
	for _, service := range services {
		if service.Spec.ClusterIP != corev1.ClusterIPNone && slices.ContainsFunc(service.Spec.Ports, forClients) {
			return service.Name
		}
	}
	return ""
}

// forClients says whether a Service's port is for more than looking at the app, as far as its name and its target's tell.
func forClients(p corev1.ServicePort) bool {
	return isService(corev1.ContainerPort{Name: p.Name}) && (p.TargetPort.StrVal == "" || isService(corev1.ContainerPort{Name: p.TargetPort.StrVal}))
}
