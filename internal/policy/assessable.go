package policy

// notAssessable is what a spec can't show of each factor, as reports and pages say it: what nobody has looked at has not passed.
var notAssessable = map[Factor][]string{
	"I":    {"whether every environment is built from the same repository", "whether applications share code by anything but a dependency"},
	"II":   {"lock files and pinned versions in the build", "programs in the image that the application calls without declaring them"},
	"III":  {"secrets and configuration inside the image or the repository", "whether a Secret of the cluster is kept safe"},
	"IV":   {"whether another backing service can be attached without a change of the code", "addresses in the code or in files of the image"},
	"V":    {"whether build, release and run are separate in the pipeline", "whether a release can be rolled back"},
	"VI":   {"sessions and caches in memory", "files that the process expects to find again"},
	"VII":  {"whether the process really listens on the ports it declares", "whether the application brings its web server along"},
	"VIII": {"whether several replicas can work side by side", "how the application divides its work between processes"},
	"IX":   {"what the process really does on SIGTERM", "whether work that was cut off is done again"},
	"X":    {"how long a change takes to production, and who brings it there", "what developers run on their machines"},
	"XI":   {"what is really logged, and whether it holds secrets", "files that the process opens without the spec saying so"},
	"XII":  {"administration that people do by hand", "whether it runs on the release and configuration of the application"},
}

// NotAssessable is what no spec can show of the factor. Reports say so, and never call it passed.
func (f Factor) NotAssessable() []string { return notAssessable[f] }
