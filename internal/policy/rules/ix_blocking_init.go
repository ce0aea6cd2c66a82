package rules

import (
	"slices"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/shell"
)

// blocking-init
//
//	restricted: scripts in initContainers[*].command, args
//	allowed:    loops that count rounds or time; timeout; native sidecars
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "blocking-init", Factor: "IX", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title:   "An init container waits without an end",
			Why:     "The pod stays in Init for ever and looks alive: no restart, no back-off, no event tells that it can't start. Where apps wait for each other, a cluster that was down doesn't come up again. And the app has to bear that its backing service goes away later anyway.",
			Fix:     "Remove it: let the app connect when it needs to, retry, and say by its readiness probe that it is not ready. If it has to wait, then for a bounded time, and end with an error.",
			Allowed: "Loops over a number of tries, loops that look at a counter or at the time, scripts behind timeout, loops that read their input.",
			Example: "initContainers:\n- name: wait\n  image: busybox:1.37\n  command: [\"timeout\", \"60\", \"sh\", \"-c\", \"until nc -z db 5432; do sleep 1; done\"]\ncontainers:\n- name: api\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			for _, c := range s.Containers(Init) {
				if shell.WaitsForEver(c.Argv()) || slices.ContainsFunc(c.Commands(), waitsWithoutTimeout) {
					report(c.At(c.argvField(), "waits in a loop that has no end", "let the app retry, or bound the wait: command: [timeout, \"60\", sh, -c, …]"))
				}
			}
		},
	})
}

// waitsWithoutTimeout finds wait-for-it -t 0: it waits for ever. Without the option it gives up after 15 s.
func waitsWithoutTimeout(command shell.Command) bool {
	if !slices.Contains([]string{"wait-for-it", "wait-for-it.sh"}, command.Name()) || command.Bounded {
		return false
	}
	args := command.Args()
	at := slices.Index(args, "-t")
	return at >= 0 && at+1 < len(args) && args[at+1] == "0" || slices.Contains(args, "--timeout=0")
}
