package rules

import (
	"twelvefold.dev/internal/logs"
	"twelvefold.dev/internal/policy"
)

// log-file
//
//	restricted: containers[*].env, command, args, and those of initContainers
//	allowed:    stdout, stderr, descriptors, /dev/null; what is streamed
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "log-file", Factor: "XI", Levels: policy.Levels{Baseline: policy.Warn, Strict: policy.Deny}},
		Page: policy.Page{
			Title:   "An option sends the log to a file",
			Why:     "kubectl logs and the cluster's collector read stdout only. What is in a file nobody sees during an incident, it is gone when the container restarts, and until then it fills the node's disk, which evicts the pod and its neighbours.",
			Fix:     "Set the option so that the log goes to stdout, or remove it. Where the policy's logs.mode is repair, that is done for you where it is safe. Where the app can't, list the file in the annotation twelvefold.dev/log-files and a sidecar streams it to its own stdout.",
			Allowed: "/dev/stdout, /dev/stderr, /proc/*/fd/*, - and /dev/null; Kafka's log.dirs, which are data; files that are streamed. Options that may mean a file warn at most (--log-file, CATALINA_OUT, -Xlog:…:file=); LOGGING_FILE_NAME and -alsologtostderr write to the console as well and are only audited.",
			Example: "metadata:\n  annotations:\n    twelvefold.dev/log-files: \"api:/var/log/api/app.log\"\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			logSignals(s, logs.Option, func(c Container, signal logs.Signal, v Violation) {
				v.Message += " keeps the log from stdout"
				if signal.Confidence != logs.Certain {
					v.Message = signal.Seen + " may send the log to a file"
				}
				v.Fix = orStream(c, signal, v.Fix)
				report(v)
			})
		},
	})
}
