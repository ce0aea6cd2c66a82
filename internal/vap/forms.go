package vap

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"twelvefold.dev/internal/policy"
)

// form is a built-in rule in CEL.
type form struct {
	// build makes the condition that must be true; fixed says that the rule's weaker cases deny too. nil: there is none.
	build  func(effective *policy.Effective, info policy.RuleInfo, fixed bool) string
	reason string // what it leaves to the webhook
}

// forms are the rules that CEL can express. They say the same as the rules themselves: a test compares them on the
// rules' fixtures.
var forms = map[string]form{
	"mutable-tag": {build: func(e *policy.Effective, info policy.RuleInfo, _ bool) string {
		tags := []string{}
		for _, tag := range stringsOf(e.Params(info), "floating") {
			tags = append(tags, regexp.QuoteMeta(tag))
		}
		moving := fmt.Sprintf(`c.image.matches(%s)`, quote(":(?:"+strings.Join(tags, "|")+")$"))
		if len(tags) == 0 {
			moving = "false"
		}
		return `variables.containers.all(c, c.?image.orValue("@").contains("@") || c.image.matches("^(?:.*/)?[^/:]+:[^/:]+$") && !` + moving + `)`
	}},
	"host-network": {build: fixedForm(`!object.spec.?hostNetwork.orValue(false)`)},
	"host-port": {build: fixedForm(`object.spec.?hostNetwork.orValue(false)` +
		` || variables.containers.all(c, c.?ports.orValue([]).all(p, p.?hostPort.orValue(0) == 0))`)},
	"host-state": {build: fixedForm(`variables.containers.all(c, c.?volumeMounts.orValue([]).all(m, m.?readOnly.orValue(false)` +
		` || !object.spec.?volumes.orValue([]).exists(v, v.name == m.name && has(v.hostPath)` +
		` && !(v.hostPath.path in ["/etc/localtime", "/etc/timezone"]) && !v.hostPath.path.startsWith("/usr/share/zoneinfo")` +
		` && v.hostPath.?type.orValue("") != "CharDevice")))`)},
	"bare-pod": {build: fixedForm(`variables.byController` +
		` || object.metadata.?annotations[?"helm.sh/hook"].orValue("").split(",").exists(h, h.trim() in ["test", "test-success", "test-failure"])` +
		` || request.userInfo.?username.orValue("").startsWith("system:serviceaccount:")` +
		` && object.metadata.?ownerReferences.orValue([]).exists(o, o.?controller.orValue(false)` +
		` && o.apiVersion.matches("^[^/]*[.][^/]*/") && !o.apiVersion.matches("^[^/]*[.]k8s[.]io/"))`)},
	"grace-period": {build: gracePeriod, reason: "of what preStop sleeps, only preStop.sleep and a single command sleep N are judged; the webhook reads scripts"},
}

func fixedForm(text string) func(*policy.Effective, policy.RuleInfo, bool) string {
	return func(*policy.Effective, policy.RuleInfo, bool) string { return text }
}

func gracePeriod(_ *policy.Effective, _ policy.RuleInfo, fixed bool) string {
	const grace = `object.spec.?terminationGracePeriodSeconds.orValue(30)`
	bounds := grace + ` != 0`
	if fixed {
		bounds = grace + ` >= 5 && (` + grace + ` <= 600 || variables.workload.startsWith("DaemonSet/"))`
	}
	const script = `c.?lifecycle.?preStop.?exec.?command.orValue([]).join(" ")`
	return bounds + ` && variables.running.all(c, c.?lifecycle.?preStop.?sleep.?seconds.orValue(-1) < ` + grace +
		` && !(` + script + `.matches("^(?:(?:/bin/)?(?:ba|da|a)?sh -c )?(?:/bin/)?sleep [0-9]{1,9}$") && int(` + script + `.find("[0-9]+$")) >= ` + grace + `))`
}

// reasons are why rules have no form.
var reasons = map[string]string{
	"literal-secret":          "its detectors of secrets (connection strings, tokens, base64) are more than CEL's regular expressions",
	"credential-url":          "it tells placeholders from passwords, also in base64",
	"suspect-secret":          "it measures entropy",
	"runtime-install":         "it reads shell scripts",
	"sleep-forever":           "it reads shell scripts",
	"ssh-daemon":              "it reads shell scripts",
	"log-redirect":            "it reads shell scripts, and knows what the webhook repaired",
	"log-file":                "it knows the frameworks' settings, and what the webhook repaired",
	"log-volume":              "it knows what the webhook repaired",
	"readiness-missing":       "it tells services from what only runs to its end",
	"debug-in-production":     "it depends on the environment that the policy gives the namespace, and reads command lines",
	"log-shipper-sidecar":     "it knows shippers by their images and commands",
	"code-from-configmap":     "it knows databases' images",
	"build-at-start":          "it reads shell scripts",
	"dev-server":              "it reads shell scripts",
	"daemonizing":             "it reads shell scripts",
	"localhost-service":       "it reads URLs and knows proxies",
	"hardcoded-address":       "it reads URLs",
	"replicated-pvc":          "it needs other objects",
	"admin-image-mismatch":    "it needs other objects",
	"one-app-one-codebase":    "it needs other objects",
	"sticky-session":          "it needs other objects",
	"single-replica":          "it needs other objects",
	"parity-drift":            "it needs other objects",
	"signal-swallowing-shell": "it reads shell scripts",
}

func reasonOf(id string) string {
	if reason, found := reasons[id]; found {
		return reason
	}
	return "this version has no CEL form of it"
}

// stringsOf is a list among a rule's parameters.
func stringsOf(params any, name string) []string {
	var fields map[string]any
	text, err := yaml.Marshal(params)
	if err == nil {
		err = yaml.Unmarshal(text, &fields)
	}
	if err != nil {
		return nil
	}
	var list []string
	items, _ := fields[name].([]any)
	for _, item := range items {
		list = append(list, fmt.Sprint(item))
	}
	return list
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
