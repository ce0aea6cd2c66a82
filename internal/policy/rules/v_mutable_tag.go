package rules

import (
	"fmt"
	"slices"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/policy"
)

// mutableTagParams are the parameters of mutable-tag.
type mutableTagParams struct {
	Floating []string `yaml:"floating"` // tags that move
}

// mutable-tag
//
//	restricted: containers[*].image, initContainers[*].image, ephemeralContainers[*].image
//	allowed:    a digest; a tag that is not floating
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{
			ID:     "mutable-tag",
			Factor: "V",
			Levels: policy.At(policy.Deny),
			Params: mutableTagParams{Floating: []string{"latest"}},
		},
		Page: policy.Page{
			Title:   "An image is named by a tag that moves, or by none",
			Why:     "A release is a build plus a config that never changes. Behind latest stands another build after every push: two replicas of one Deployment may run different code, and a rollback starts what was just rolled back.",
			Fix:     "Name the version that you tested, or better its digest.",
			Allowed: "Any digest, whatever tag stands before it. A port is no tag: localhost:5000/app has none. Tags that move are those of the parameter floating: latest alone, unless the policy names more (main, stable, edge).",
			Example: "image: contoso.azurecr.io/shop:1.4.2\n",
		},
		Check: checkMutableTag,
	})
}

// floatingTags are those that say nothing about what is behind them.
func (s *Subject) floatingTags() []string {
	r, _ := Find("mutable-tag")
	params, _ := s.Policy.Params(r.RuleInfo).(mutableTagParams)
	return params.Floating
}

func checkMutableTag(s *Subject, report func(Violation)) {
	floating := Params[mutableTagParams](s).Floating
	for _, c := range s.Containers() {
		ref, err := image.Parse(c.Image)
		switch {
		case err != nil || ref.Digest != "": // the API server refuses what can't be read
		case ref.Tag == "":
			report(c.At(".image", fmt.Sprintf("%q has no tag, so it is latest", c.Image), "name a version: image: "+c.Image+":<version>"))
		case slices.Contains(floating, ref.Tag):
			report(c.At(".image", fmt.Sprintf("the tag of %q moves", c.Image), "name a version: image: "+c.Image[:len(c.Image)-len(ref.Tag)]+"<version>"))
		}
	}
}
