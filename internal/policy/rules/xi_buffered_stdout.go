package rules

import (
	"twelvefold.dev/internal/logs"
	"twelvefold.dev/internal/policy"
)

// buffered-stdout
//
//	restricted: containers[*].command, args without env PYTHONUNBUFFERED, and those of initContainers
//	allowed:    python -u; images that set the variable themselves can't be told, so it is only audited
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "buffered-stdout", Factor: "XI", Levels: policy.At(policy.Audit)},
		Page: policy.Page{
			Title:   "Python keeps its output in a buffer",
			Why:     "Where stdout is no terminal, Python writes what is printed in blocks of some KiB. kubectl logs shows lines minutes late, and the last ones, which tell why the process died, are lost with it.",
			Fix:     "Set the variable PYTHONUNBUFFERED to any text, or start python -u. Where the policy's logs.mode is repair, it is set for you.",
			Allowed: "python -u, and commands that only answer (python --version). Programs that start Python by themselves (gunicorn, celery) log to stderr, which is not buffered.",
			Example: "command: [\"python\", \"/app/main.py\"]\nenv:\n- {name: PYTHONUNBUFFERED, value: \"1\"}\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			logSignals(s, logs.Buffer, func(c Container, signal logs.Signal, v Violation) {
				v.Message += ": its last lines are lost when it dies"
				report(v)
			})
		},
	})
}
