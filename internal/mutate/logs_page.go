package mutate

import "twelvefold.dev/internal/policy"

var logsPage = policy.Page{
	Title: "Log files are brought to stdout",
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
		"twelvefold.dev/log-repair: stream is the default, off adds nothing. rewrite and link are no repairs of this " +
		"version: they add nothing either, and the annotation twelvefold.dev/status says so.",
	Allowed: "What is not named is not streamed: the rules log-file, log-redirect and log-volume find such files and say what to write.",
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
