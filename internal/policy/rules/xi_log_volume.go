package rules

import (
	"twelvefold.dev/internal/logs"
	"twelvefold.dev/internal/policy"
)

// log-volume
//
//	restricted: containers[*].volumeMounts, and those of initContainers
//	allowed:    readOnly mounts; log collectors; transaction logs of databases; what is streamed
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "log-volume", Factor: "XI", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title:   "A writable volume lies over a log directory",
			Why:     "A volume there means that the app logs to files: kubectl logs shows none of it, and nobody rotates them. Over the log directory of nginx or httpd it also hides the image's links to stdout. On a hostPath the files outlive the pod and fill the node's disk.",
			Fix:     "Log to stdout and remove the volume. Where the policy's logs.mode is repair, nginx and httpd get their links back. Where the app can't, list the file in the annotation twelvefold.dev/log-files and a sidecar streams it.",
			Allowed: "readOnly mounts, log collectors (Fluent Bit, Vector, Promtail, …), Kafka's and ZooKeeper's transaction logs, the tasks' logs of Airflow and Harbor, which they show themselves, claims below /var/lib, init containers that prepare the directory, and volumes whose files are streamed. The empty folders of Bitnami's charts are only audited. Pods of a DaemonSet with a writable hostPath are audited, and denied by the profile strict unless exempted.",
			Example: "metadata:\n  annotations:\n    twelvefold.dev/log-files: \"api:/var/log/api/*.log\"\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			hostLevels := policy.At(policy.Deny)
			logSignals(s, logs.Volume, func(c Container, signal logs.Signal, v Violation) {
				if c.Kind == Init && signal.Confidence != logs.Certain { // prepares the directory; who logs there is told of
					return
				}
				if signal.HostPath != "" && v.Levels == nil {
					v.Levels = &hostLevels
					if own := s.levels(); own != nil {
						v.Levels = own
					}
				}
				stream := signal
				stream.Path += "/*.log"
				v.Fix = orStream(c, stream, v.Fix)
				report(v)
			})
		},
	})
}
