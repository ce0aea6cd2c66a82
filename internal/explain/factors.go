package explain

import (
	"fmt"
	"strings"

	"twelvefold.dev/internal/policy"
)

// FactorPage tells what a factor means for a pod's spec, and what no spec can tell. Reports say of that "not
// assessable", and never that it passes.
type FactorPage struct {
	Factor        policy.Factor
	Asks          string // what the factor asks of an app
	Sees          string // what of it a spec shows
	NotAssessable []NotAssessable
}

// NotAssessable is a part of a factor that the spec of a pod does not show.
type NotAssessable struct{ What, Why string }

// FactorPages are the pages of all twelve, in order.
func FactorPages() []FactorPage {
	return []FactorPage{
		{"I", "One codebase in version control, and many deploys of it.",
			"Which app a pod is, and which source its image says to be built from.",
			[]NotAssessable{
				{"whether the source named is the source built", "labels and annotations are claims; a signed provenance of the image would prove them"},
				{"whether several apps share one repository", "a spec knows images, not repositories"},
			}},
		{"II", "All dependencies are declared and brought along.",
			"Whether a container installs software when it starts, or takes it from its node or from a ConfigMap.",
			[]NotAssessable{
				{"lock files, and whether they are obeyed", "they lie in the source, and at best in the image"},
				{"what the image holds, and its known holes", "that is the work of an image scanner"},
				{"tools of the image that the app calls without declaring them", "the calls stand in its code"},
			}},
		{"III", "What differs between deploys stands in the environment, and no secret in the code.",
			"Every variable, argument, probe, header and annotation of the spec, and where their values come from.",
			[]NotAssessable{
				{"settings and secrets inside the image", "nobody opens the image at admission"},
				{"secrets that look like any other word", "what has neither a known form nor a telling name is found by nobody"},
				{"whether the app reads what it is given", "it happens in its code"},
			}},
		{"IV", "A backing service is a resource behind an address, and may be exchanged.",
			"Addresses and files in the configuration, and databases beside the app in one pod.",
			[]NotAssessable{
				{"whether another database could take its place", "dialects and extensions are in the code"},
				{"whether the app bears that a service goes away", "only a fault shows it"},
			}},
		{"V", "Build, release and run are apart, and a release never changes.",
			"Whether an image's name says one release, and whether something is built at start.",
			[]NotAssessable{
				{"whether a version's tag was pushed twice", "only the registry knows; a digest answers it"},
				{"whether a person changed a running container", "an exec is in the API server's audit log, not in the spec; a debug container is reported"},
			}},
		{"VI", "Processes share nothing and keep nothing.",
			"Volumes that outlive a pod or belong to its node, and namespaces shared with the node.",
			[]NotAssessable{
				{"sessions and uploads in memory", "the spec doesn't show what a process remembers"},
				{"files on the container's own disk that the app expects to find again", "only where the disk is read-only can't there be any"},
			}},
		{"VII", "The app is complete and offers itself at a port.",
			"Ports, probes and the variables that name ports, and whether a port belongs to the pod or to its node.",
			[]NotAssessable{
				{"whether the app listens where it says", "the readiness probe finds out when the pod runs"},
				{"whether it listens on all addresses or on localhost only", "it stands in its code or in its own files"},
			}},
		{"VIII", "The app scales by more processes, each of one kind, which the platform looks after.",
			"Who looks after the pod, how many services a container starts, what it requests, and whether it may run on any node.",
			[]NotAssessable{
				{"whether two replicas get along", "locks, schedules and caches are in the code"},
				{"whether requests fit what the app uses", "it takes metrics of weeks"},
				{"supervisors in the image's entrypoint or in scripts of the image", "the spec names the script and doesn't hold it"},
			}},
		{"IX", "Processes start fast and end well.",
			"Probes, delays, the time to end, the signal, and shells that keep the signal from the app.",
			[]NotAssessable{
				{"what the app does on SIGTERM", "only ending it shows it"},
				{"how long it takes to start", "probes say what it may take, not what it takes"},
				{"whether jobs may be repeated", "it is in the code"},
			}},
		{"X", "Development, staging and production are as alike as can be.",
			"Debug switches and debuggers in production, development servers, images that no release made.",
			[]NotAssessable{
				{"the time between a commit and its deploy, and who deploys", "that is seen in the history of releases"},
				{"environments in other clusters", "one cluster's webhook doesn't see another; compare their manifests"},
			}},
		{"XI", "Logs are a stream of events on stdout.",
			"Files, folders, redirections and options by which a log goes elsewhere, and what keeps lines back.",
			[]NotAssessable{
				{"what is really logged, in which format, and whether a secret is in it", "it is known when it is printed"},
				{"log files that the app's own configuration in the image names", "nobody opens the image at admission"},
			}},
		{"XII", "Admin tasks are one-off processes of the same release.",
			"Migrations at start, Jobs without an end, SSH servers, containers that wait for somebody to log in, debug containers.",
			[]NotAssessable{
				{"what people do in a kubectl exec", "it is in the API server's audit log, if at all"},
				{"whether a migration can be repeated or undone", "it is in its code"},
				{"migrations inside the app's own start", "the spec shows them only where a command does it"},
			}},
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
		for _, n := range page.NotAssessable {
			fmt.Fprintf(&b, "- %s: %s\n", n.What, n.Why)
		}
	}
	return b.String()
}
