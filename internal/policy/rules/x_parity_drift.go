package rules

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/parity"
	"twelvefold.dev/internal/policy"
)

// parityDriftParams are the parameters of parity-drift.
type parityDriftParams struct {
	Environments []string `yaml:"environments"` // words in the names of namespaces that tell environments apart
}

// parity-drift
//
//	restricted: images and names of variables, beside those of the same workload in the namespace of another environment
//	allowed:    other namespaces; tags of the app itself; registries, mirrors, folders by environment; values
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "parity-drift", Factor: "X", Levels: policy.At(policy.Audit), Params: parityDriftParams{Environments: []string{
			"dev", "devel", "development", "test", "testing", "tst", "int", "integration", "qa", "uat", "acc", "acceptance", "sandbox",
			"stage", "staging", "stg", "pre", "preprod", "preproduction", "nonprod", "prod", "prd", "production", "live",
		}}},
		Page: policy.Page{
			Title: "Environments of one app have drifted apart",
			Why: "What was tested is what should run. Where staging has another image, another major version of its database, or lacks a variable, its tests say little about production, " +
				"and the difference shows on the day of the release.",
			Fix: "Build once, and run that image in all environments; raise the version of a backing service everywhere, production last and soon; declare the same variables, with values of their own. " +
				"twelvefold parity shows all differences of two namespaces.",
			Allowed: "Workloads are environments of one app if they have the same kind and name, and no different app.kubernetes.io/name, in namespaces that differ in a word for the environment and in nothing else: shop-dev and shop-prod, staging and production, shop and shop-test. " +
				"Two tenants that both run redis are none. Your own words go into the policy (params: environments). The app's tags may differ, and so may values, registries, mirrors, and folders named after the environment. " +
				"Variables are not compared where a container takes some by envFrom. " + besides,
			Example: "metadata:\n  labels: {app.kubernetes.io/name: shop}\nspec:\n  containers:\n  - name: api\n    image: contoso.azurecr.io/shop:1.4.2     # in shop-dev and shop-prod\n    env:\n    - {name: PAYMENT_URL, value: \"https://sandbox.pay.example.com\"}\n",
		},
		Check: checkParityDrift,
	})
}

// maxNames bounds the variables that a message names.
const maxNames = 3

func checkParityDrift(s *Subject, report func(Violation)) {
	if s.Facts.Twins == nil || !s.Facts.Template {
		return
	}
	words := Params[parityDriftParams](s).Environments
	twins := s.Facts.Twins(s.Workload)
	var own corev1.PodTemplateSpec
	if i := slices.IndexFunc(twins, func(t policy.Twin) bool { return t.Namespace == s.Facts.Namespace }); i < 0 || json.Unmarshal(twins[i].Template, &own) != nil {
		return
	}
	told := map[string]bool{} // the first environment that differs in something is enough
	for _, t := range twins {
		var other corev1.PodTemplateSpec
		if t.Namespace == s.Facts.Namespace || withoutWords(t.Namespace, words) != withoutWords(s.Facts.Namespace, words) || json.Unmarshal(t.Template, &other) != nil {
			continue
		}
		if first, second := own.Labels[nameLabel], other.Labels[nameLabel]; first != "" && second != "" && first != second {
			continue
		}
		for _, c := range s.Containers(Init, Sidecar, Main) {
			for _, v := range c.drift(own, other, t.Namespace, words) {
				if !told[v.Path] {
					told[v.Path] = true
					report(v)
				}
			}
		}
	}
}

// drift is in what a container and the one of its name in another namespace have drifted apart.
func (c Container) drift(own, other corev1.PodTemplateSpec, namespace string, words []string) (found []Violation) {
	first, second := containerNamed(own.Spec, c.Name), containerNamed(other.Spec, c.Name)
	if first == nil || second == nil {
		return nil
	}
	var here, there []string // variables that only one has
	for _, d := range parity.Compare(own, other) {
		switch {
		case d.Container != c.Name:
		case d.Kind == "image" || d.Kind == "tag":
			if v, differs := c.imageDrift(first.Image, second.Image, namespace, words); differs {
				found = append(found, v)
			}
		case d.Kind == "env" && d.Second == "":
			here = append(here, d.What)
		case d.Kind == "env" && d.First == "":
			there = append(there, d.What)
		}
	}
	if len(here)+len(there) == 0 || len(first.EnvFrom)+len(second.EnvFrom) > 0 {
		return found
	}
	var says []string
	if len(there) > 0 {
		says = append(says, fmt.Sprintf("lacks %s, which it has in namespace %s", list(there), namespace))
	}
	if len(here) > 0 {
		says = append(says, fmt.Sprintf("has %s, which it lacks in namespace %s", list(here), namespace))
	}
	return append(found, c.At(".env", strings.Join(says, ", and "), "declare the same variables in both, with values of their own"))
}

func (c Container) imageDrift(here, there, namespace string, words []string) (v Violation, differs bool) {
	first, err := image.Parse(here)
	second, err2 := image.Parse(there)
	if err != nil || err2 != nil {
		return v, false
	}
	if !sameRepository(promoted(first, words), promoted(second, words)) {
		return c.At(".image", fmt.Sprintf("runs %s, and %s in namespace %s", first.Repository, second.Repository, namespace), "run one image in all environments, and let config tell them apart"), true
	}
	a, b := major(first.Tag), major(second.Tag)
	if !isDatabase(c) || a == "" || b == "" || a == b {
		return v, false
	}
	return c.At(".image", fmt.Sprintf("runs %s %s, and %s in namespace %s", first.Base(), a, b, namespace), "run one version in all environments"), true
}

// promoted is the image without what names an environment in the folders of its repository: images move from dev/ to prod/,
// or from shop-dev/ to shop-prod/.
func promoted(r image.Reference, words []string) image.Reference {
	segments := strings.Split(r.Repository, "/")
	var kept []string
	for _, folder := range segments[:len(segments)-1] {
		if folder = withoutWords(folder, words); folder != "" {
			kept = append(kept, folder)
		}
	}
	r.Repository = strings.Join(append(kept, r.Base()), "/")
	return r
}

var leadingNumber = regexp.MustCompile(`^v?([0-9]+)([-_.]|$)`)

// major is the first number of a version, empty if it does not begin with one.
func major(tag string) string {
	if found := leadingNumber.FindStringSubmatch(tag); found != nil {
		return found[1]
	}
	return ""
}

// withoutWords is a name without its parts that are one of the words, with or without a number: shop of shop-test2.
func withoutWords(name string, words []string) string {
	parts := slices.DeleteFunc(strings.Split(name, "-"), func(part string) bool {
		return slices.Contains(words, strings.TrimRight(part, "0123456789"))
	})
	return strings.Join(parts, "-")
}

func containerNamed(pod corev1.PodSpec, name string) *corev1.Container {
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		if c.Name == name {
			return &c
		}
	}
	return nil
}

// list names a few.
func list(names []string) string {
	if more := len(names) - maxNames; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNames], ", "), more)
	}
	return strings.Join(names, ", ")
}
