package rules

import (
	"slices"
	"strings"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/policy"
)

// devImageParams are the parameters of dev-image.
type devImageParams struct {
	Words      []string `yaml:"words"`      // parts of a tag, between - . and _
	Registries []string `yaml:"registries"` // of images that only their developer has, or that vanish
	Allowed    []string `yaml:"allowed"`    // registries whose tags use the words for something else
}

// dev-image
//
//	restricted: containers[*].image, and those of initContainers
//	allowed:    words of the repository's name; registries that call variants dev
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "dev-image", Factor: "X", Levels: policy.Levels{Baseline: policy.Warn, Strict: policy.Deny},
			Params: devImageParams{Words: []string{"dev", "snapshot", "dirty", "local", "wip"}, Registries: []string{"ttl.sh", "kind.local", "ko.local", "localhost"}, Allowed: []string{"cgr.dev", "dhi.io"}}},
		Page: policy.Page{
			Title:   "The image comes from a developer's desk",
			Why:     "A tag with dirty says that the image holds changes that no commit has; a snapshot is built again under the same name; ttl.sh deletes its images after hours, and kind.local, ko.local and localhost are one machine. None of them can be pulled, built or explained again when it matters.",
			Fix:     "Let CI build the image from a commit, push it to the registry of all environments, and name its version.",
			Allowed: "Words in the repository's name (contoso.azurecr.io/dev/shop:1.4.2), devel, registries on a port of localhost, and registries that call variants with a shell dev (cgr.dev, dhi.io). The parameters words, registries and allowed change that; namespaces of developers may turn the rule off.",
			Example: "image: contoso.azurecr.io/shop:1.4.2\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			params := Params[devImageParams](s)
			for _, c := range s.Containers(Init, Sidecar, Main) {
				ref, err := image.Parse(c.Image)
				if err != nil {
					continue
				}
				const fix = "take an image that CI has built from a commit"
				if slices.Contains(params.Registries, ref.Registry) {
					report(c.At(".image", "images of "+ref.Registry+" are for trying out", fix))
					continue
				}
				words := strings.FieldsFunc(strings.ToLower(ref.Tag), func(r rune) bool { return strings.ContainsRune("-._", r) })
				i := slices.IndexFunc(words, func(w string) bool { return slices.Contains(params.Words, w) })
				if i >= 0 && !slices.Contains(params.Allowed, ref.Registry) {
					report(c.At(".image", "the tag "+ref.Tag+" says that it is no release ("+words[i]+")", fix))
				}
			}
		},
	})
}
