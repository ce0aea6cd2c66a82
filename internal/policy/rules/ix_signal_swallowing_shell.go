package rules

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/shell"
)

// signal-swallowing-shell
//
//	restricted: scripts in containers[*].command, args, and those of native sidecars
//	allowed:    exec before the app, trap, an init such as tini; a single command; pods that run to their end
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "signal-swallowing-shell", Factor: "IX", Levels: policy.At(policy.Warn), Repair: policy.ByDefault},
		Page: policy.Page{
			Title:   "A shell keeps SIGTERM from the app",
			Why:     "The kubelet sends SIGTERM to the container's first process. If that is a shell which waits for the app, the app hears nothing: it works on until the grace period is over and is then killed in the middle of its requests. Every rollout takes 30 seconds longer than it must, and loses work.",
			Fix:     "Write exec before the last command, so that the app takes the shell's place. What has to be done before belongs in the image or in an init container. Where exec doesn't do, because of a pipe or a loop, trap TERM and pass it on.",
			Allowed: "A single simple command, which the shell replaces itself by; scripts that use exec or trap; tini, dumb-init and catatonit; a preStop hook that sends the signal or tells the app to stop (kill, nginx -s quit); scripts that only sleep; pods that run to their end (Jobs, restartPolicy Never or OnFailure); init containers. bash from 5.1 on replaces itself by the last of several commands, so that a script for bash which ends in a simple command is only audited. A script in a file of the image can't be looked into.",
			Repair:  "exec is put before the last command, where that is a single program in the foreground and nothing else of the script needs the shell: no trap, no pipe, no function, no process in the background. What comes before must be known to end by itself (cd, export, mkdir, envsubst, migrations, ./setup.sh, a loop that waits for the database), or exec would help nobody. Not before sleep or tail, which only keep a container alive, nor xvfb-run, which hangs as the first process; not in login shells and zsh, whose profile may have functions of that name; nor in Windows pods, nor in pods that an operator makes itself, which may compare them with what it wants. The app becomes the container's first process, as with exec by hand: one that leaves orphans behind (headless browsers) wants tini before it.",
			Example: "command: [\"sh\", \"-c\", \"cd /app && exec node server.js\"]\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			if s.endsByItself() {
				return
			}
			for _, c := range s.Containers(Main, Sidecar) {
				if !c.swallowsSignals() {
					continue
				}
				v := c.At(c.argvField(), "a shell stays in front of the app, and SIGTERM ends there", "write exec before the script's last command")
				if _, ok := shell.WithExec(c.Argv()); !ok {
					v.Fix = "let the script end in exec <app>; where it can't, trap TERM and pass it on: trap 'kill $!' TERM; <app> & wait"
				}
				if shell.BashGivesWay(c.Argv()) {
					v.Max = policy.Audit
					v.Message = "a bash older than 5.1 stays in front of the app, and SIGTERM ends there"
				}
				report(v)
			}
		},
		Mend: mendSignalSwallowingShell,
	})
}

// swallowsSignals says whether the app does not hear of its end.
func (c Container) swallowsSignals() bool {
	return shell.SwallowsSignals(c.Argv()) && !idles(c.Commands()) && !c.isStoppedByHook()
}

// isStoppedByHook says whether the preStop hook sends the signal, or tells the app to stop: SIGTERM comes after it.
func (c Container) isStoppedByHook() bool {
	if c.Lifecycle == nil || c.Lifecycle.PreStop == nil || c.Lifecycle.PreStop.Exec == nil {
		return false
	}
	return slices.ContainsFunc(shell.Parse(c.Lifecycle.PreStop.Exec.Command), func(command shell.Command) bool {
		return slices.Contains([]string{"kill", "pkill", "killall"}, command.Name()) ||
			slices.ContainsFunc(command.Args(), func(arg string) bool { return slices.Contains([]string{"stop", "shutdown", "quit"}, arg) })
	})
}

// waits says whether the last command only keeps the container alive. The app is then among those before, in the
// background, and the shell is the parent of what it leaves behind.
func (c Container) waits() bool {
	commands := c.Commands()
	return len(commands) > 0 && slices.Contains([]string{"sleep", "tail"}, commands[len(commands)-1].Name())
}

// mendSignalSwallowingShell is safe: the shell had nothing more to do than to wait, and hands over its process, with
// environment, files and exit code. What the agent starts has been here before it did.
func mendSignalSwallowingShell(s *Subject, done func(Repaired)) {
	if s.endsByItself() || onWindows(s.Pod) || s.madeByOperator() {
		return
	}
	for _, c := range s.Containers(Main, Sidecar) {
		if c.startedByAgent() || !c.swallowsSignals() || c.waits() || slices.ContainsFunc(c.Env, givesBashFunctions) {
			continue
		}
		if argv, ok := shell.WithExec(c.Argv()); ok {
			field, changed := c.argvField(), c.DeepCopy()
			copy(changed.Command, argv)
			copy(changed.Args, argv[len(c.Command):])
			c.edit.Rewrite(changed)
			done(c.repaired(field, "exec stands before the script's last command"))
		}
	}
}

// endsByItself says whether the pod runs to its end: a Job's, or one that is not restarted for ever.
func (s *Subject) endsByItself() bool {
	p := s.Pod.Spec.RestartPolicy
	return s.IsJob() || p == corev1.RestartPolicyNever || p == corev1.RestartPolicyOnFailure
}

// madeByOperator says whether a controller other than Kubernetes' own makes the pod without a workload between them. It may
// compare the pod with what it wants, and make it anew where the command differs, for ever.
func (s *Subject) madeByOperator() bool {
	owner := metav1.GetControllerOf(s.Pod)
	return owner != nil && owner.APIVersion != "apps/v1" && owner.APIVersion != "v1"
}

// givesBashFunctions says whether bash may learn functions by a variable, which exec does not find.
func givesBashFunctions(e corev1.EnvVar) bool {
	return e.Name == "BASH_ENV" || strings.HasPrefix(e.Name, "BASH_FUNC_")
}
