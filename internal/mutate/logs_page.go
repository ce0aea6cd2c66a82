package mutate

import "twelvefold.dev/internal/policy"

var logsPage = policy.Page{
	Title: "Logs are brought to stdout",
	Why: "The cluster collects what containers write to stdout. A log file in a container is seen by nobody, fills the " +
		"node's disk, and goes with the pod. Where an application can't write to stdout, Twelvefold adds one sidecar per pod, " +
		"twelvefold-tail, that reads the files from their first byte and writes each line to its own stdout, across rotation " +
		"and the end of the pod. It starts before the application and ends after it, so it keeps no Job from completing.",
	Fix: "Name the files in the annotation twelvefold.dev/log-files: [container:]/path, several separated by commas, at most " +
		"32. The last element of a path may be a glob. The container may be left out where the pod has only one. " +
		"With one file its lines come as they are; with several, each is a JSON object that says the file and the container.\n\n" +
		"If a volume is mounted at the directory or above it, the sidecar reads that volume. Otherwise an empty one is mounted " +
		"over the file's directory, which hides what the image has there: let logs have a directory of their own. System " +
		"directories, the working directory, and volumes that hold secrets or configuration are refused with a warning.\n\n" +
		"The sidecar runs as user 65532 and must be able to read the files. Files that all may read (mode 0644, what most " +
		"programs write) need nothing. For mode 0640 set the pod's fsGroup, and have the application write with that group.\n\n" +
		"What the spec itself tells of logs that go elsewhere (options, redirections, volumes: see the rules) is repaired where " +
		"the policy's logs.mode is repair, for all signals, for one (logs.signals), or in some namespaces; the other modes are " +
		"off, audit, warn and deny. The first of these that is safe is taken, and the annotation twelvefold.dev/status says which and why:\n\n" +
		"rewrite changes the option in place, or leaves the redirection out of the script: --access-logfile=-, logging_collector=off, " +
		"LOGGING_FILE_NAME=\"\". It costs nothing. It is taken where the change is known to work, nobody else " +
		"has the file, and it would not outlive the pod.\n\n" +
		"link has an init container put links to /dev/stdout in the place of the files. It costs nothing at run time, and lines " +
		"keep the container's name. It is taken for nginx and httpd, whose volume hides the links of their images.\n\n" +
		"stream has the sidecar read the file. It is taken for all else whose path is known, in a volume of yours, or in a directory of logs.\n\n" +
		"twelvefold.dev/log-repair: rewrite, link or stream asks for that repair and no other, whatever the mode. rewrite then also gives " +
		"/dev/stdout to programs that are not known to open it. link makes links of the files in twelvefold.dev/log-files: right for a " +
		"program that opens them as the user it was started as, and does not rotate them. off repairs nothing; the rules still hold.\n\n" +
		"The annotations sidecar.logging-extensions.banzaicloud.io/tail and tailing-sidecar are read as twelvefold.dev/log-files. " +
		"For the policy's logs.collectors pods get annotations: datadog (source and service of each container), elastic (JSON or " +
		"multiline) and fluentbit (the JSON parser) of the sidecar; azure and container-insights take stdout as it is. Annotations of " +
		"your own stay as they are.",
	Allowed: "Without a policy that repairs, what is not named is not streamed: the rules log-file, log-redirect and log-volume find such files and say what to write.",
	Example: `metadata:
  annotations:
    twelvefold.dev/log-files: app:/var/log/app/app.log,app:/var/log/app/audit-*.log
spec:
  securityContext:
    fsGroup: 2000 # only for files that not everyone may read
  containers:
    - name: app
      image: registry.example.com/app:1.4.2
`,
}
