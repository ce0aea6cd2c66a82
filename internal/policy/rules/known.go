package rules

import (
	"maps"
	"slices"

	"twelvefold.dev/internal/policy"
)

// What rules know, for who says the same in another language ([twelvefold.dev/internal/vap]).

// NodeData are data among the node's software, which host-dependency only audits.
func NodeData() []string { return slices.Clone(hostData) }

// NodeTimeZones are files of the node that hold no state for host-state.
func NodeTimeZones() []string { return slices.Clone(timeZones) }

// SSHImages are the last segments of the names of images that ssh-daemon knows as SSH servers.
func SSHImages() []string { return slices.Clone(sshImages) }

// DebugSwitches are variables with the values, in lower case, that turn debugging on for debug-in-production.
func DebugSwitches() map[string][]string {
	switches := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(debugSwitches)) {
		switches[name] = slices.Clone(debugSwitches[name].values)
	}
	return switches
}

// OperatorsPorts are words in the names of ports that readiness-missing takes for those who run the app, and words that
// say nothing of whom a port is for.
func OperatorsPorts() (operators, anyones []string) {
	return slices.Clone(operational), slices.Clone(neutral)
}

// ExemptsJobs says whether a rule does not apply to the pods of Jobs and CronJobs.
func ExemptsJobs(rule policy.RuleInfo) bool {
	return rule.Factor == "VII" || rule.Factor == "VIII" || slices.Contains(jobExempt, rule.ID)
}
