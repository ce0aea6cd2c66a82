package vap

import "twelvefold.dev/internal/policy"

// reasons are why rules have no form.
var reasons = map[string]string{
	"admin-image-mismatch":    "it needs other objects",
	"blocking-init":           "it reads shell scripts",
	"buffered-stdout":         "it knows what an image runs by its name and its command, and the webhook may mend it",
	"build-at-start":          "it reads shell scripts",
	"code-from-configmap":     "it knows databases' images",
	"daemonizing":             "it reads shell scripts",
	"database-in-app-pod":     "it knows databases' images",
	"dev-server":              "it reads shell scripts",
	"embedded-database":       "it reads URLs and connection strings",
	"hardcoded-address":       "it reads URLs",
	"job-unbounded":           "it is about Jobs and not about their pods, and the webhook may mend it",
	"localhost-service":       "it reads URLs and knows proxies",
	"log-file":                "it knows the frameworks' settings, and what the webhook repaired",
	"log-redirect":            "it reads shell scripts, and knows what the webhook repaired",
	"log-shipper-sidecar":     "it knows shippers by their images and commands",
	"log-volume":              "it knows what the webhook repaired",
	"migration-in-init":       "it reads shell scripts",
	"migration-in-start":      "it reads shell scripts",
	"one-app-one-codebase":    "it needs other objects",
	"parity-drift":            "it needs other objects",
	"port-env-mismatch":       "it reads URLs and the settings of frameworks",
	"port-undeclared":         "the webhook mends it, or needs the Service in front of the pod",
	"process-supervisor":      "it reads shell scripts",
	"release-id":              "the webhook mends it wherever the image's tag tells the release",
	"replicated-pvc":          "it needs other objects",
	"runtime-install":         "it reads shell scripts",
	"runtime-webserver":       "it knows web servers' images",
	"signal-swallowing-shell": "it reads shell scripts, and the webhook may mend it",
	"single-replica":          "it needs other objects",
	"sleep-forever":           "it reads shell scripts",
	"source-provenance":       "it looks at what the registry knows of the image",
	"sticky-session":          "it needs other objects",
	"suspect-secret":          "it measures entropy",
}

func reasonOf(id string) string {
	if reason, found := reasons[id]; found {
		return reason
	}
	return "this version has no CEL form of it"
}

// Says is what [Export] makes of a rule, in a sentence: yes, in part, or no.
func Says(rule policy.RuleInfo) string {
	f, found := forms[rule.ID]
	switch {
	case !found:
		return "No: " + reasonOf(rule.ID) + "."
	case f.leaves != "" && rule.Repair != policy.NotRepaired:
		return "In part: " + f.leaves + ". Templates of workloads are left to it, since it may mend them."
	case f.leaves != "":
		return "In part: " + f.leaves + "."
	case rule.Repair != policy.NotRepaired:
		return "Yes, for pods; templates of workloads are left to the webhook, which may mend them."
	case f.podOnly:
		return "Yes, for pods."
	}
	return "Yes, for pods and for templates of workloads."
}
