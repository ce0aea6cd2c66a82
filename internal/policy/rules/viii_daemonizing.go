package rules

import (
	"slices"
	"strings"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/shell"
)

// daemonizing
//
//	restricted: containers[*].command, args, lifecycle.postStart.exec, and those of native sidecars
//	allowed:    helpers in the background of a script that goes on; options that say foreground
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "daemonizing", Factor: "VIII", Levels: policy.Levels{Baseline: policy.Warn, Strict: policy.Deny}},
		Page: policy.Page{
			Title:   "The app goes into the background",
			Why:     "Kubernetes watches a container's first process only. One that has made a daemon of itself crashes unseen: no restart, no exit code, no signal at the end, and its output goes nowhere. There is no systemd in a container that could look after it.",
			Fix:     "Start the app in the foreground, by exec where a script does it: nginx -g 'daemon off;', php-fpm -F, httpd -DFOREGROUND, redis-server --daemonize no.",
			Allowed: "A process in the background of a script that goes on with something else, or waits for it (process-supervisor looks at two servers), but not one that only sleeps then; sleep infinity & wait, behind a trap; --daemon=false, --no-daemon, --daemonize no, --foreground, --no-detach; what nsenter or chroot starts on the node; Jobs.",
			Example: "command: [\"gunicorn\", \"--bind=:8080\", \"app:app\"]   # no nohup, no &, no --daemon\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			for _, c := range s.Containers(Main, Sidecar) {
				commands := c.Commands()
				field, how := c.argvField(), ""
				for i, command := range commands {
					if how == "" {
						how = daemonizes(command)
					}
					if how == "" && command.Background && command.Name() != "wait" && !pauses(command) {
						how = leftAlone(commands[i+1:])
					}
				}
				for _, command := range c.PostStart() {
					if how != "" {
						break
					}
					if how, field = daemonizes(command), ".lifecycle.postStart.exec.command"; how == "" && command.Background {
						how = "&"
					}
				}
				if how != "" {
					report(c.At(field, "goes into the background ("+how+"), where nobody sees it die", "start it in the foreground, with exec"))
				}
			}
		},
	})
}

// leftAlone is how a script leaves a command in the background, if it ends there or goes on to sleep; else empty.
func leftAlone(rest []shell.Command) string {
	switch {
	case len(rest) == 0 || rest[0].Name() == "disown":
		return "& behind the last command"
	case idles(rest), len(rest) == 1 && rest[0].Name() == "tail" && follows(rest[0]):
		return "&, and the script sleeps"
	}
	return ""
}

// pauses says whether a command only lets time pass: sleep infinity & wait, behind a trap, is a way to stay.
func pauses(command shell.Command) bool { return command.Name() == "sleep" || command.Name() == "tail" }

// daemonOptions are the options by which programs leave the foreground. Subcommands do it for others.
var (
	foregroundOptions = []string{"--foreground", "--nodaemon", "--no-daemon", "--no-detach", "--nodetach", "--no-fork", "--nofork"}

	daemonOptions = map[string][]string{
		"gunicorn": {"-D"}, "unicorn": {"-D"}, "unicorn_rails": {"-D"}, "haproxy": {"-D"}, "memcached": {"-d"}, "puma": {"-d"}, "sidekiq": {"-d"}, "mongod": {"--fork"},
		"uwsgi": {"-d"}, "celery": {"-D", "--detach"}, "screen": {"-d", "-dm", "-dmS"},
	}
	daemonCommands = map[string][]string{
		"apachectl": {"start"}, "apache2ctl": {"start"}, "httpd": {"start"}, "apache2": {"start"}, "catalina.sh": {"start"}, "pg_ctl": {"start", "restart"},
		"celery": {"multi start"}, "rails": {"server -d", "s -d"},
	}
)

// daemonizes is by what a command leaves the foreground; empty if it doesn't.
func daemonizes(command shell.Command) string {
	args := command.Args()
	foreground := slices.ContainsFunc(args, func(a string) bool { return slices.Contains(foregroundOptions, a) })
	if len(command.Words) == 0 || foreground || command.Outside {
		return ""
	}
	switch command.Name() {
	case "nohup", "setsid":
		if command.Background || command.Name() == "nohup" {
			return command.Name()
		}
	case "systemctl":
		if slices.ContainsFunc(args, func(a string) bool { return a == "start" || a == "restart" || a == "reload-or-restart" }) {
			return "systemctl"
		}
	case "service", "rc-service":
		if len(args) > 1 && (args[1] == "start" || args[1] == "restart") {
			return command.Name()
		}
	case "start-stop-daemon":
		return command.Name()
	case "echo", "printf", "grep", "cat", "test", "[", "wavefront-collector": // whose --daemon says that it is a DaemonSet's
		return ""
	}
	name, words := started(command)
	if strings.Contains(command.Words[0], "/init.d/") && slices.Contains(args, "start") {
		return name + " start"
	}
	for _, option := range daemonOptions[name] {
		if slices.Contains(words, option) {
			return name + " " + option
		}
	}
	for _, subcommand := range daemonCommands[name] {
		if says(words, subcommand) {
			return name + " " + subcommand
		}
	}
	for i, arg := range args {
		option, value, hasValue := strings.Cut(arg, "=")
		if option != "--daemon" && option != "--daemonize" {
			continue
		}
		if !hasValue && i+1 < len(args) {
			value = args[i+1]
		}
		if !slices.Contains([]string{"no", "false", "off", "0"}, strings.ToLower(value)) {
			return option
		}
	}
	return ""
}
