package rules

import (
	"twelvefold.dev/internal/logs"
	"twelvefold.dev/internal/policy"
)

// log-redirect
//
//	restricted: scripts in containers[*].command, args, and those of initContainers
//	allowed:    targets that are no logs; stdout, stderr, descriptors, /dev/null; what is streamed
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "log-redirect", Factor: "XI", Levels: policy.Levels{Baseline: policy.Warn, Strict: policy.Deny}},
		Page: policy.Page{
			Title:   "The shell sends a command's output into a log file",
			Why:     "The app logs to stdout as it should, and then a > takes it away: kubectl logs is empty, the collector gets nothing, and the file grows until the node runs out of disk.",
			Fix:     "Leave the redirection out; where the policy's logs.mode is repair, that is done for you. Where the file must stay, list it in the annotation twelvefold.dev/log-files and a sidecar streams it.",
			Allowed: "Files that are no logs (envsubst > nginx.conf): a log is called *.log or lies in a folder log or logs. Making or emptying a file (: > app.log), /dev/null, /dev/stdout, /proc/1/fd/1, and files that are streamed. tee leaves the lines on stdout and warns at most.",
			Example: "command: [\"sh\", \"-c\", \"exec /app/server\"]   # not: /app/server >> /var/log/app.log 2>&1\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			logSignals(s, logs.Redirect, func(c Container, signal logs.Signal, v Violation) {
				v.Message = "the shell writes the log to a file: " + signal.Seen
				v.Fix = orStream(c, signal, v.Fix)
				report(v)
			})
		},
	})
}
