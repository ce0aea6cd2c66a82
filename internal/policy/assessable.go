package policy

// NotAssessable is a part of a factor that the spec of a pod does not show.
type NotAssessable struct{ What, Why string }

// notAssessable is that of each factor, as reports and pages say it: what nobody has looked at has not passed.
var notAssessable = map[Factor][]NotAssessable{
	"I": {
		{"whether the source named is the source built", "labels and annotations are claims; a signed provenance of the image would prove them"},
		{"whether several apps share one repository", "a spec knows images, not repositories"},
	},
	"II": {
		{"lock files, and whether they are obeyed", "they lie in the source, and at best in the image"},
		{"what the image holds, and its known holes", "that is the work of an image scanner"},
		{"tools of the image that the app calls without declaring them", "the calls stand in its code"},
	},
	"III": {
		{"settings and secrets inside the image", "nobody opens the image at admission"},
		{"secrets that look like any other word", "what has neither a known form nor a telling name is found by nobody"},
		{"whether the app reads what it is given", "it happens in its code"},
	},
	"IV": {
		{"whether another database could take its place", "dialects and extensions are in the code"},
		{"whether the app bears that a service goes away", "only a fault shows it"},
	},
	"V": {
		{"whether a version's tag was pushed twice", "only the registry knows; a digest answers it"},
		{"whether a person changed a running container", "an exec is in the API server's audit log, not in the spec; a debug container is reported"},
	},
	"VI": {
		{"sessions and uploads in memory", "the spec doesn't show what a process remembers"},
		{"files on the container's own disk that the app expects to find again", "only where the disk is read-only can't there be any"},
	},
	"VII": {
		{"whether the app listens where it says", "the readiness probe finds out when the pod runs"},
		{"whether it listens on all addresses or on localhost only", "it stands in its code or in its own files"},
	},
	"VIII": {
		{"whether two replicas get along", "locks, schedules and caches are in the code"},
		{"whether requests fit what the app uses", "it takes metrics of weeks"},
		{"supervisors in the image's entrypoint or in scripts of the image", "the spec names the script and doesn't hold it"},
	},
	"IX": {
		{"what the app does on SIGTERM", "only ending it shows it"},
		{"how long it takes to start", "probes say what it may take, not what it takes"},
		{"whether jobs may be repeated", "it is in the code"},
	},
	"X": {
		{"the time between a commit and its deploy, and who deploys", "that is seen in the history of releases"},
		{"environments in other clusters", "one cluster's webhook doesn't see another; compare their manifests"},
	},
	"XI": {
		{"what is really logged, in which format, and whether a secret is in it", "it is known when it is printed"},
		{"log files that the app's own configuration in the image names", "nobody opens the image at admission"},
	},
	"XII": {
		{"what people do in a kubectl exec", "it is in the API server's audit log, if at all"},
		{"whether a migration can be repeated or undone", "it is in its code"},
		{"migrations inside the app's own start", "the spec shows them only where a command does it"},
	},
}

// NotAssessable is what no spec can show of the factor. Reports say so, and never call it passed.
func (f Factor) NotAssessable() []NotAssessable { return notAssessable[f] }
