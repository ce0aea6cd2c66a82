package mutate

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/podpatch"
)

const (
	syncName    = "twelvefold-sync"
	stateVolume = "twelvefold-state"

	// restartMinor is the version that has RestartAllContainers (KEP-5532).
	restartMinor = 36
)

// The words for what happens when a secret changes.
const (
	rotateFiles   = keyvault.RotateFiles
	rotateRestart = keyvault.RotateByRestart
	rollout       = "rollout"
)

var rotations = []string{"none", rotateFiles, rotateRestart, rollout}

// readRotation reads what the pod wants to happen when a secret changes; its own word goes before the policy's.
func (k *keyVault) readRotation() {
	word, asked := k.Annotation(rotationAnnotation)
	if asked && !slices.Contains(rotations, word) {
		k.refuse(annotationPath(rotationAnnotation), "", "unknown word; one of none, files, restart, rollout", "correct it, or leave it out")
	}
	if !asked {
		word = k.policy.Rotation
	}
	k.rotation = word
}

// settleRotation leaves of the rotation what can be done for this pod: files, restart, or nothing. A sidecar that is
// there already stays as it is.
func (k *keyVault) settleRotation() {
	switch k.rotation = k.possible(k.rotation); {
	case k.sync != nil:
		k.rotation = valueOf(k.sync, keyvault.RotationEnv)
	case k.rotation == rollout:
		k.Done("rollout: %s is rolled out anew when a secret changes", k.Facts.Workload)
		k.rotation = ""
	}
}

// possible is the rotation that can be done in place of the one that is wanted.
func (k *keyVault) possible(wanted string) string {
	skip := func(why string) string {
		k.Skip("rotation %s: %s", wanted, why)
		return ""
	}
	files := slices.ContainsFunc(k.plan.Files, func(f keyvault.FileItem) bool { return f.Version == "" })
	variables := slices.ContainsFunc(k.plan.Env, func(e keyvault.EnvItem) bool { return e.Version == "" })
	switch wanted {
	case rollout:
		switch {
		case !slices.Contains([]string{"Deployment", "StatefulSet", "DaemonSet"}, k.Facts.Workload.Kind):
			return skip("the pod belongs to no Deployment, StatefulSet or DaemonSet")
		case !files && !variables:
			return skip("each secret is pinned to a version")
		}
		return rollout
	case rotateRestart:
		why := k.noRestart()
		switch {
		case k.noSidecar() != "":
			return skip(k.noSidecar())
		case !files && !variables:
			return skip("each secret is pinned to a version")
		case why != "":
			skip(why + "; only files are kept current")
			return k.possible(rotateFiles)
		}
		return rotateRestart
	case rotateFiles:
		switch {
		case k.noSidecar() != "":
			return skip(k.noSidecar())
		case !files && variables:
			return skip("the pod has no files to keep current; a variable is read when its container starts")
		case !files:
			return skip("each secret is pinned to a version")
		}
		return rotateFiles
	}
	return ""
}

// noRestart is why the pod's containers must not all be restarted when a secret changes; empty if they may.
func (k *keyVault) noRestart() string {
	policy := k.Edit.Pod().Spec.RestartPolicy
	switch {
	case !k.Facts.Kubernetes.AtLeast(restartMinor):
		return "it needs Kubernetes 1.36 on the API server and on every node"
	case k.Facts.Workload.Kind == "Job", k.Facts.Workload.Kind == "CronJob", policy != "" && policy != corev1.RestartPolicyAlways:
		return "a pod that ends by itself is not restarted"
	}
	return ""
}

// syncContainer is the native sidecar that looks for new versions.
func (k *keyVault) syncContainer() corev1.Container {
	c := agentContainer(k.Context, syncName, "sync")
	c.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	if k.rotation == rotateRestart {
		c.RestartPolicyRules = []corev1.ContainerRestartRule{{
			Action:    corev1.ContainerRestartRuleActionRestartAllContainers,
			ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: corev1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{keyvault.ExitRestart}},
		}}
	}
	c.Env = append(k.agentVariables(), corev1.EnvVar{Name: keyvault.IntervalEnv, Value: cmp.Or(k.policy.RotationInterval, keyvault.DefaultInterval)})
	c.VolumeMounts = k.neededMounts()
	return c
}

// readSync checks that a container with the name of our sidecar is ours: it must do what fetch does, and nothing else.
func (k *keyVault) readSync(c *podpatch.Container) {
	get, rotation := c.Get(), valueOf(c, keyvault.RotationEnv)
	ours := k.fetch != nil && runs(c) && slices.Equal(get.Args, []string{"sync"}) && len(get.Command) == 0 &&
		(rotation == rotateFiles || rotation == rotateRestart)
	switch {
	case !ours:
		k.refuse(c.Path(), c.Name(), "the name belongs to the container that Twelvefold injects, and this is another one", "remove the container; it is injected anew")
	case valueOf(c, keyvault.PlanEnv) != valueOf(k.fetch, keyvault.PlanEnv):
		k.refuse(c.Path(), c.Name(), "its plan is not that of "+fetchName, "remove the container; it is injected anew")
	default:
		k.sync = c
	}
}
