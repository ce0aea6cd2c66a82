package explain

import (
	"fmt"
	"strings"

	"twelvefold.dev/internal/policy"
)

// FactorPage tells what a factor means for a pod's spec.
type FactorPage struct {
	Factor policy.Factor
	Asks   string // what the factor asks of an app
	Sees   string // what of it a spec shows
}

// FactorPages are the pages of all twelve, in order.
func FactorPages() []FactorPage {
	return []FactorPage{
		{"I", "One codebase in version control, and many deploys of it.",
			"Which app a pod is, and which source its image says to be built from."},
		{"II", "All dependencies are declared and brought along.",
			"Whether a container installs software when it starts, or takes it from its node or from a ConfigMap."},
		{"III", "What differs between deploys stands in the environment, and no secret in the code.",
			"Every variable, argument, probe, header and annotation of the spec, and where their values come from."},
		{"IV", "A backing service is a resource behind an address, and may be exchanged.",
			"Addresses and files in the configuration, and databases beside the app in one pod."},
		{"V", "Build, release and run are apart, and a release never changes.",
			"Whether an image's name says one release, and whether something is built at start."},
		{"VI", "Processes share nothing and keep nothing.",
			"Volumes that outlive a pod or belong to its node, and namespaces shared with the node."},
		{"VII", "The app is complete and offers itself at a port.",
			"Ports, and the probes, Services and variables that name them, and whether a port belongs to the pod or to its node."},
		{"VIII", "The app scales by more processes, each of one kind, which the platform looks after.",
			"Who looks after the pod, how many services a container starts, what it requests, and whether it may run on any node."},
		{"IX", "Processes start fast and end well.",
			"Probes, delays, the time to end, the signal, and shells that keep the signal from the app."},
		{"X", "Development, staging and production are as alike as can be.",
			"Debug switches and debuggers in production, development servers, images that no release made, and what the environments of one app differ in."},
		{"XI", "Logs are a stream of events on stdout.",
			"Files, folders, redirections and options by which a log goes elsewhere, and what keeps lines back."},
		{"XII", "Admin tasks are one-off processes of the same release.",
			"Whose image Jobs run, migrations at start, Jobs without an end, SSH servers, containers that wait for somebody to log in, debug containers."},
	}
}

// FactorsMarkdown are the pages of all factors for the docs.
func FactorsMarkdown() string {
	var b strings.Builder
	b.WriteString("# The twelve factors, and what we check of them\n\nGenerated from the code. What a pod's spec doesn't show can't be judged at admission: reports call it not assessable, and never say that it passes.\n")
	topics := Topics()
	for _, page := range FactorPages() {
		fmt.Fprintf(&b, "\n## %s %s\n\n%s\n\n**What we look at.** %s\n\n", page.Factor, page.Factor.Title(), page.Asks, page.Sees)
		for _, t := range topics {
			if t.Factor == page.Factor && t.Levels == nil {
				fmt.Fprintf(&b, "- done for you, [`%s`](rules/%s.md): %s\n", t.ID, t.ID, t.Title)
			}
		}
		for _, t := range topics {
			if t.Factor == page.Factor && t.Levels != nil {
				fmt.Fprintf(&b, "- [`%s`](rules/%s.md) (%s): %s\n", t.ID, t.ID, t.levels(), t.Title)
			}
		}
		b.WriteString("\n**Not assessable.**\n\n")
		for _, n := range page.Factor.NotAssessable() {
			fmt.Fprintf(&b, "- %s: %s\n", n.What, n.Why)
		}
	}
	return b.String()
}
