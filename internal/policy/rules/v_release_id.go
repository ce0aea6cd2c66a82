package rules

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/policy"
)

// releaseIDParams are the parameters of release-id.
type releaseIDParams struct {
	Labels []string `yaml:"labels"` // keys that name the release as well as app.kubernetes.io/version does
}

const versionLabel = "app.kubernetes.io/version"

// knativeRevision is the label by which Knative names each release of a service; it runs images by their digests.
const knativeRevision = "serving.knative.dev/revision"

// release-id
//
//	restricted: metadata.labels
//	allowed:    app.kubernetes.io/version or a configured key; a tag of the first container that tells the release; Knative's revision
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "release-id", Factor: "V", Levels: policy.At(policy.Warn), Params: releaseIDParams{}, Repair: policy.ByDefault},
		Page: policy.Page{
			Title:   "The pod does not say which release it is",
			Why:     "Every release has an id, so that people can say which one fails and which one to go back to. Where the image is named by its digest alone, or by a tag that moves, neither dashboards nor a look at the pod tell it: errors can't be counted by release.",
			Fix:     "Put app.kubernetes.io/version on the pod template, in quotes; CI knows the value. Clusters with a convention of their own name its keys in the policy (params: labels).",
			Allowed: "A tag of the first container's image, other than latest: it is the release's id. Knative's label for its revision.",
			Repair:  "The label app.kubernetes.io/version is added to pods, with the tag of the first container's image, or of the one that kubectl.kubernetes.io/default-container names, unless the tag moves (latest, and what mutable-tag's params call floating) or can't be a label's value. A label version or service.istio.io/canonical-revision tells it already. In manifests it is not written: there it would go stale with the next tag.",
			Example: "metadata:\n  labels:\n    app.kubernetes.io/version: \"1.4.2\"\n",
		},
		Check: checkReleaseID,
		Mend:  mendReleaseID,
	})
}

func checkReleaseID(s *Subject, report func(Violation)) {
	keys := releaseKeys(s)
	apps := s.Containers(Main)
	if s.labelled(append(keys, knativeRevision)) || len(apps) == 0 {
		return
	}
	ref, err := image.Parse(apps[0].Image)
	if err != nil || cmp.Or(ref.Tag, "latest") != "latest" {
		return
	}
	report(Violation{Path: "metadata.labels", Message: "no " + strings.Join(keys, " or ") + ", and the image's name does not tell it",
		Fix: "name the release: " + versionLabel + `: "<version>"`})
}

func releaseKeys(s *Subject) []string {
	return append([]string{versionLabel}, Params[releaseIDParams](s).Labels...)
}

// mendReleaseID is safe: what selects pods by a release's label selects that of its own pods, and these are to be found.
// Where Istio takes the release from an older label, it goes on to. When the pod has been here, a container that another
// webhook has added may stand before the app.
func mendReleaseID(s *Subject, done func(Repaired)) {
	app := s.app()
	if _, seen := s.Pod.Annotations[policy.StatusAnnotation]; seen || app == nil || s.labelled(append(releaseKeys(s), "version", "service.istio.io/canonical-revision")) {
		return
	}
	ref, err := image.Parse(app.Image)
	if err != nil || ref.Tag == "" || ref.Tag == "latest" || slices.Contains(s.floatingTags(), ref.Tag) || len(validation.IsValidLabelValue(ref.Tag)) > 0 {
		return
	}
	s.edit.SetLabel(versionLabel, ref.Tag)
	done(Repaired{Path: "metadata.labels", What: "the label " + versionLabel + ": " + ref.Tag + " is added"})
}
