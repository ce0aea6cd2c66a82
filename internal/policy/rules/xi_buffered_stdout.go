package rules

import (
	"slices"

	"twelvefold.dev/internal/logs"
	"twelvefold.dev/internal/policy"
)

// buffered-stdout
//
//	restricted: containers[*].command, args without env PYTHONUNBUFFERED, and those of initContainers
//	allowed:    python -u; images that set the variable themselves can't be told, so it is only audited
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "buffered-stdout", Factor: "XI", Levels: policy.At(policy.Audit), Repair: policy.ByDefault},
		Page: policy.Page{
			Title:   "Python keeps its output in a buffer",
			Why:     "Where stdout is no terminal, Python writes what is printed in blocks of some KiB. kubectl logs shows lines minutes late, and the last ones, which tell why the process died, are lost with it.",
			Fix:     "Set the variable PYTHONUNBUFFERED to any text, or start python -u.",
			Allowed: "python -u, and commands that only answer (python --version). A script that sets the variable itself. Output that goes into a file or into a program that keeps it is data (python export.py | gzip > orders.gz). Programs that start Python by themselves (gunicorn, celery) log to stderr, which is not buffered.",
			Repair:  "PYTHONUNBUFFERED: \"1\" is set. The policy's logs.mode, or that of the signal buffered-stdout, holds before the rule's own setting: repair does it in every profile, any other mode leaves it to the team. The pod's annotation twelvefold.dev/log-repair: off does, too. A variable that is there and empty is left: somebody wants the buffer; so is python -E or -I, which would ignore it.",
			Example: "command: [\"python\", \"/app/main.py\"]\nenv:\n- {name: PYTHONUNBUFFERED, value: \"1\"}\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			logSignals(s, logs.Buffer, func(c Container, signal logs.Signal, v Violation) {
				v.Message += ": its last lines are lost when it dies"
				report(v)
			})
		},
		Wanted: wantsUnbuffered,
		Mend:   mendBufferedStdout,
	})
}

// wantsUnbuffered lets what is said of logs hold before what is said of the rule: the pod's wish, then the policy's mode.
// By hand it is made in any mode that does not look away.
func wantsUnbuffered(s *Subject, r *Rule) bool {
	wish, mode := s.Pod.Annotations[logs.RepairAnnotation], s.Policy.LogMode(r.ID)
	switch {
	case mode == "off" || wish != "" && !slices.Contains([]string{"rewrite", "link", "stream"}, wish):
		return false
	case mode == "repair" || wish == "rewrite":
		return true
	}
	return (mode == "" || s.Policy.IsByHand()) && s.Policy.Repairs(r.RuleInfo)
}

// mendBufferedStdout is safe: Python writes the same, sooner.
func mendBufferedStdout(s *Subject, done func(Repaired)) {
	for _, c := range s.Containers(Init, Sidecar, Main) {
		if c.startedByAgent() {
			continue
		}
		if unbuffered, lacks := logs.Unbuffered(c.Container); lacks {
			c.edit.InsertEnv(0, unbuffered) // it needs no other
			done(c.repaired(".env", unbuffered.Name+" is set"))
		}
	}
}
