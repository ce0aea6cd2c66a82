package rules

import (
	"fmt"
	"slices"
	"strings"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/logs"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/shell"
)

// log-shipper-sidecar
//
//	restricted: containers[*].image, command, args, and those of native sidecars
//	allowed:    a shipper without another container; DaemonSets; Twelvefold's own
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "log-shipper-sidecar", Factor: "XI", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title:   "A log shipper runs beside the app",
			Why:     "Where logs go is the cluster's business, not the app's: a shipper in every pod costs memory in every pod, holds the backend's credentials, is upgraded by every team, and loses what it has not sent when the pod ends. One that is no native sidecar keeps Jobs from completing.",
			Fix:     "Log to stdout and let the cluster's collector read that. Where the app can't, list the files in the annotation twelvefold.dev/log-files: one sidecar without credentials streams them, from the first line to the last.",
			Allowed: "Collectors that run alone in their pods or in a DaemonSet; collectors of metrics and traces (OpenTelemetry, Telegraf); what Twelvefold adds.",
			Example: "metadata:\n  annotations:\n    twelvefold.dev/log-files: \"api:/var/log/api/app.log\"   # instead of the shipper\n",
		},
		Check: checkLogShipperSidecar,
	})
}

// shippers are images, by the beginning of the last segment of their names.
var shippers = []string{"fluent-bit", "fluentbit", "fluentd", "td-agent", "filebeat", "promtail", "logstash", "vector", "newrelic-fluentbit", "aws-for-fluent-bit",
	"tailing-sidecar", "splunk-universalforwarder", "universalforwarder", "rsyslog", "syslog-ng"}

func checkLogShipperSidecar(s *Subject, report func(Violation)) {
	if s.IsNodeAgent() {
		return
	}
	containers := s.Containers(Main, Sidecar)
	apps := slices.DeleteFunc(slices.Clone(containers), func(c Container) bool { return c.Kind == Sidecar || shipper(c) != "" })
	if len(apps) == 0 {
		return
	}
	for _, c := range containers {
		if what := shipper(c); what != "" {
			report(c.At("", what+" runs beside the app", "log to stdout and remove it, or have the files streamed: annotation twelvefold.dev/log-files: "+
				fmt.Sprintf("%q", apps[0].Name+":/<path>")))
		}
	}
}

// shipper is what makes the container one: its image, or a tail -f of a log; empty for any other.
func shipper(c Container) string {
	if ref, err := image.Parse(c.Image); err == nil {
		if slices.ContainsFunc(shippers, func(name string) bool { return ref.Base() == name || strings.HasPrefix(ref.Base(), name+"-") }) {
			return "the log shipper " + ref.Base()
		}
	}
	commands := c.Commands()
	if len(commands) == 0 {
		return ""
	}
	if last := commands[len(commands)-1]; last.Name() == "tail" && follows(last) { // behind what the app itself starts it is another matter
		if len(commands) == 1 || !slices.ContainsFunc(commands[:len(commands)-1], func(other shell.Command) bool { return other.Background }) {
			for _, arg := range last.Args() {
				if !strings.HasPrefix(arg, "-") && logs.IsLog(arg) {
					return "tail -f " + arg
				}
			}
		}
	}
	return ""
}

// follows says whether a tail runs on.
func follows(tail shell.Command) bool {
	return slices.ContainsFunc(tail.Args(), func(arg string) bool {
		return strings.HasPrefix(arg, "--follow") || strings.HasPrefix(arg, "-") && !strings.HasPrefix(arg, "--") && strings.ContainsAny(arg, "fF")
	})
}
