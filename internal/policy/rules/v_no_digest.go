package rules

import (
	"fmt"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/policy"
)

// no-digest
//
//	restricted: containers[*].image, initContainers[*].image, ephemeralContainers[*].image
//	allowed:    a digest
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "no-digest", Factor: "V", Levels: policy.Levels{Baseline: policy.Audit, Strict: policy.Deny}},
		Page: policy.Page{
			Title:   "An image is named by its tag only",
			Why:     "A tag can be pushed again, by mistake or by whoever got hold of the registry's password; then nodes that have the old image and nodes that pull the new one run different code under one name. A digest is the content itself: it can't change, and it is what scanners and signatures speak of.",
			Fix:     "Write the digest behind the tag, which stays for people to read. CI knows it after the push; crane digest, az acr manifest list-metadata and docker buildx imagetools inspect tell it, and Renovate keeps it current.",
			Allowed: "A digest, with or without a tag.",
			Example: "image: contoso.azurecr.io/shop:1.4.2@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			for _, c := range s.Containers() {
				if ref, err := image.Parse(c.Image); err == nil && ref.Digest == "" { // the API server refuses what can't be read
					report(c.At(".image", fmt.Sprintf("%q has no digest", c.Image), "pin it: image: "+c.Image+"@sha256:<digest>"))
				}
			}
		},
	})
}
