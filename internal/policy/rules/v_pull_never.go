package rules

import (
	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/policy"
)

// pull-never
//
//	restricted: containers[*].imagePullPolicy, and those of initContainers, ephemeralContainers
//	allowed:    Always, IfNotPresent, unset
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "pull-never", Factor: "V", Levels: policy.At(policy.Warn), Repair: policy.OnRequest},
		Page: policy.Page{
			Title:   "An image is never pulled",
			Why:     "The pod starts only on nodes where somebody has put the image by hand. A new node, and AKS makes new ones every week, has none: ErrImageNeverPull. What it runs was not released through a registry, so nobody can say which build it is.",
			Fix:     "Push the image to a registry and remove the field. For a local cluster, IfNotPresent takes a loaded image just as well.",
			Allowed: "IfNotPresent and Always.",
			Repair:  "imagePullPolicy: IfNotPresent is set. It is on request because a registry may have another image by that name.",
			Example: "image: contoso.azurecr.io/shop:1.4.2\nimagePullPolicy: IfNotPresent\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			for _, c := range s.Containers() {
				if c.ImagePullPolicy == corev1.PullNever {
					report(c.At(".imagePullPolicy", "the image must be on the node already", "write imagePullPolicy: IfNotPresent"))
				}
			}
		},
		Mend: func(s *Subject, done func(Repaired)) {
			for _, c := range s.Containers(Init, Sidecar, Main) {
				if c.ImagePullPolicy == corev1.PullNever {
					c.edit.SetImagePullPolicy(corev1.PullIfNotPresent)
					done(c.repaired(".imagePullPolicy", "imagePullPolicy is IfNotPresent"))
				}
			}
		},
	})
}
