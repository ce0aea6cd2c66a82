package rules

import (
	"slices"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/shell"
)

// sleep-forever
//
//	restricted: containers[*].command, args
//	allowed:    a container that works; one that idles beside one that works; a node agent that worked in an init container
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "sleep-forever", Factor: "XII", Levels: policy.Levels{Baseline: policy.Warn, Strict: policy.Deny}},
		Page: policy.Page{
			Title:   "A container sleeps so that somebody can log in",
			Why:     "The pod costs its requests day and night and does nothing. The work is done by hand in a kubectl exec: nobody reviews or repeats it, it runs with the pod's rights long after they were needed, and it is lost at the next drain.",
			Fix:     "Run the task as a Job (or CronJob) of the app's image and release. To look around, kubectl debug brings a shell to a running pod and leaves nothing behind.",
			Allowed: "Containers that idle beside one that works, init containers, pause images, node agents (DaemonSets) whose init containers do the work, scripts that do something else as well, sleeps of less than an hour that are not in a loop.",
			Example: "apiVersion: batch/v1\nkind: Job\nmetadata: {name: reindex}\nspec:\n  ttlSecondsAfterFinished: 3600\n  template:\n    spec:\n      restartPolicy: Never\n      containers:\n      - {name: reindex, image: \"contoso.azurecr.io/shop:1.4.2\", command: [\"/app/reindex\"]}\n",
		},
		Check: checkSleepForever,
	})
}

// longSleep is how many seconds of sleep are no waiting any more.
const longSleep = 3600

func checkSleepForever(s *Subject, report func(Violation)) {
	if s.IsNodeAgent() && len(s.Pod.Spec.InitContainers) > 0 {
		return
	}
	main := s.Containers(Main)
	if slices.ContainsFunc(main, func(c Container) bool { return !idles(c.Commands()) }) {
		return
	}
	for _, c := range main {
		report(c.At(c.argvField(), "does nothing but sleep", "run the task as a Job, or look around with kubectl debug"))
	}
}

// idles says whether commands do nothing, for ever.
func idles(commands []shell.Command) bool {
	forever := false
	for _, command := range commands {
		switch name := command.Name(); name {
		case "sleep":
			seconds, ok := sleeps(command)
			forever = forever || command.Loop || ok && seconds >= longSleep
		case "tail":
			if !slices.Contains(command.Args(), "/dev/null") {
				return false
			}
			forever = true
		case "true", "false", ":", "trap", "wait", "exit", "set":
		case "echo", "date", "printf":
			if command.Loop || len(command.Redirects) > 0 { // a clock is work
				return false
			}
		default:
			return false
		}
	}
	return forever
}
