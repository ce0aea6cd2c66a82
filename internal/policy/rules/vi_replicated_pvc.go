package rules

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/policy"
)

// replicated-pvc
//
//	restricted: volumes[*].persistentVolumeClaim of Deployments; it needs the Deployment and the claim
//	allowed:    StatefulSets; claims that several nodes may mount; one replica with strategy Recreate
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "replicated-pvc", Factor: "VI", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title: "Replicas share a disk that one node may mount",
			Why: "All replicas of a Deployment mount the same claim. One that is ReadWriteOnce can be attached to one node: the others' replicas hang in ContainerCreating with a Multi-Attach error. " +
				"With one replica a rolling update does the same, since the new pod starts before the old one is gone. Replicas that do land on one node write over each other.",
			Fix:     "Keep state in a backing service. Otherwise take a StatefulSet with volumeClaimTemplates, which gives each replica a disk of its own; or, with one replica, strategy: {type: Recreate}; or a claim that is ReadWriteMany (Azure Files).",
			Allowed: "StatefulSets, and one replica with strategy Recreate or maxSurge: 0; a rolling update of one replica is only audited, since it works while both pods are on one node; ReadWriteMany and ReadOnlyMany; claims that are only read. " + besides,
			Example: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec:\n  replicas: 1\n  strategy: {type: Recreate}\n  template:\n    metadata: {labels: {app.kubernetes.io/name: shop}}\n" +
				"    spec:\n      containers:\n      - {name: api, image: contoso.azurecr.io/shop:1.4.2, volumeMounts: [{name: data, mountPath: /data}]}\n" +
				"      volumes:\n      - {name: data, persistentVolumeClaim: {claimName: shop}}\n",
		},
		Check: checkReplicatedPVC,
	})
}

func checkReplicatedPVC(s *Subject, report func(Violation)) {
	deployment := &appsv1.Deployment{}
	if s.Workload.Kind != "Deployment" || !s.lookup("Deployment", s.Workload.Name, deployment) {
		return
	}
	replicas := int32(1)
	if deployment.Spec.Replicas != nil {
		replicas = *deployment.Spec.Replicas
	}
	if replicas < 1 || replicas == 1 && oneAtATime(deployment.Spec.Strategy) {
		return
	}
	for i := range s.Pod.Spec.Volumes {
		v := &s.Pod.Spec.Volumes[i]
		claim := &corev1.PersistentVolumeClaim{}
		if v.PersistentVolumeClaim == nil || v.PersistentVolumeClaim.ReadOnly || !s.writes(v.Name) || !s.lookup("PersistentVolumeClaim", v.PersistentVolumeClaim.ClaimName, claim) {
			continue
		}
		modes := claim.Spec.AccessModes
		if len(modes) == 0 || slices.Contains(modes, corev1.ReadWriteMany) || slices.Contains(modes, corev1.ReadOnlyMany) {
			continue
		}
		highest, seen, fix := policy.Deny, fmt.Sprintf("%d replicas share the claim %s, which is %s", replicas, claim.Name, modes[0]), "make it a StatefulSet with volumeClaimTemplates, or the claim ReadWriteMany"
		if replicas == 1 {
			highest, seen, fix = policy.Audit, fmt.Sprintf("a rolling update starts a second pod on the claim %s, which is %s", claim.Name, modes[0]), "write strategy: {type: Recreate}, or make it a StatefulSet"
		}
		report(Violation{Path: fmt.Sprintf("spec.volumes[name=%q].persistentVolumeClaim", v.Name), Max: highest, Message: seen, Fix: fix})
	}
}

// oneAtATime says whether the old pod is gone before the new one starts.
func oneAtATime(strategy appsv1.DeploymentStrategy) bool {
	rolling := strategy.RollingUpdate
	return strategy.Type == appsv1.RecreateDeploymentStrategyType ||
		rolling != nil && rolling.MaxSurge != nil && (rolling.MaxSurge.String() == "0" || rolling.MaxSurge.String() == "0%")
}

// writes says whether a container mounts a volume to write to it.
func (s *Subject) writes(volume string) bool {
	for _, c := range s.Containers() {
		if slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == volume && !m.ReadOnly }) {
			return true
		}
	}
	return false
}
