package mutate

import (
	"slices"
	"strings"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
)

// Repairs come first. Whatever the other mutators look at (labels that bind secrets, ports that tell an exporter, commands
// that the agent is put in front of) is then the same when they see the pod again.
func init() {
	register(Mutator{Name: "repairs", Factor: "V", Order: 5, ByProfile: true, Page: repairsPage, Mutate: func(c *Context) {
		rules.Mend(c.Edit, c.Policy, c.Facts, func(r *rules.Rule, done rules.Repaired) {
			c.Done("%s: %s", r.ID, done.What)
			if !slices.Contains(c.repaired, r.ID) {
				c.repaired = append(c.repaired, r.ID)
			}
		})
	}})
}

var repairsPage = policy.Page{
	Title: "Repairs of what the rules find",
	Why: "What can be mended without a change of how the app behaves is mended at admission, so that nobody needs to hear of it. " +
		"Where the profile baseline or strict is in force, that is what these rules find, unless they are off: " + repairable(policy.ByDefault) + ". " +
		"What may change an app is mended where the policy asks for it: " + repairable(policy.OnRequest) + ".\n" +
		"Containers that are injected or ignored, and what is exempt, are never touched. The annotation twelvefold.dev/status says what was done to a pod. " +
		"The page of each rule says what its repair does; twelvefold fix makes the same repairs in manifests, where a rule finds something there.",
	Fix:     "Turn a repair on or off by its rule's name, for the cluster or for some namespaces. Asked for by name it is made in every profile, unless its rule is off.",
	Allowed: "The profiles audit and off change nothing by themselves.",
	Example: "spec:\n  rules:\n    service-links: {repair: true}\n    release-id: {repair: false}\n    requests-missing: {repair: true, params: {requests: {cpu: 50m, memory: 64Mi}}}\n" +
		"  namespaces:\n  - match: {names: [\"legacy-*\"]}\n    rules: {signal-swallowing-shell: {repair: false}}\n",
}

func repairable(how policy.Repairable) string {
	var ids []string
	for _, r := range rules.All() {
		if r.RuleInfo.Repair == how {
			ids = append(ids, r.ID)
		}
	}
	return strings.Join(ids, ", ")
}
