package rules

import (
	"slices"
	"strings"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/shell"
)

// process-supervisor
//
//	restricted: containers[*].command, args, and those of native sidecars
//	allowed:    pm2-runtime and others that stand for one process; helpers beside one server; app servers with workers
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "process-supervisor", Factor: "VIII", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title:   "A container runs several services",
			Why:     "Kubernetes sees one process. When one of the services dies, the supervisor restarts it again and again and the pod looks healthy; when it gives up, the pod stays. The services can't be scaled, limited, rolled out or looked at one by one, and their logs are mixed.",
			Fix:     "Make a container of each, in a pod of its own if it scales on its own, else side by side; helpers of the app are native sidecars (init containers with restartPolicy: Always).",
			Allowed: "pm2-runtime and pm2 --no-daemon, tini, dumb-init; app servers that fork workers (gunicorn, puma, php-fpm, nginx); a helper in the background that is no server; one server twice, first to look at its settings (nginx -t); supervisorctl; Jobs.",
			Example: "containers:\n- {name: web, image: \"nginx:1.29.3\"}\n- {name: php, image: \"contoso.azurecr.io/shop:1.4.2\", command: [\"php-fpm\", \"-F\"]}\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			for _, c := range s.Containers(Main, Sidecar) {
				if what := supervises(c.Commands()); what != "" {
					report(c.At(c.argvField(), "runs several services ("+what+"): nobody sees one of them die", "make a container of each"))
				}
			}
		},
	})
}

var (
	supervisors = []string{"supervisord", "runsvdir", "s6-svscan", "circusd", "monit", "honcho", "foreman", "overmind", "hivemind", "goreman", "concurrently", "my_init", "systemd"}
	// longRunning are programs that serve until they are stopped.
	longRunning = []string{"nginx", "httpd", "apache2", "apachectl", "apache2ctl", "apache2-foreground", "caddy", "haproxy", "envoy", "traefik", "php-fpm", "gunicorn", "uvicorn", "hypercorn",
		"uwsgi", "puma", "unicorn", "sidekiq", "celery", "node", "java", "dotnet", "redis-server", "postgres", "mysqld", "mysqld_safe", "mariadbd", "mongod", "memcached",
		"rabbitmq-server", "cron", "crond", "rsyslogd", "sshd", "tailscaled", "cloudflared", "pgbouncer"}
	// selfDaemonizing are those that go into the background unless one of these options stands behind them.
	selfDaemonizing = map[string][]string{"nginx": {"daemon off"}, "httpd": {"FOREGROUND", "-X"}, "apache2": {"FOREGROUND", "-X"}, "cron": {"-f"}, "crond": {"-f", "-n"},
		"rsyslogd": {"-n"}, "sshd": {"-D"}}
)

// supervises is by what commands run several services; empty if they don't.
func supervises(commands []shell.Command) string {
	var running []string
	background := false
	for _, command := range commands {
		name := command.Name()
		if what, _ := started(command); slices.Contains(supervisors, what) || len(command.Words) > 0 && strings.HasSuffix(command.Words[0], "/sbin/init") {
			return what
		}
		if name == "pm2" && slices.ContainsFunc(command.Args(), func(a string) bool { return a == "start" || a == "restart" }) && !slices.Contains(command.Args(), "--no-daemon") {
			return name
		}
		detached := daemonizes(command) != "" || command.Background || detaches(command)
		if name == "service" && len(command.Args()) > 0 {
			name = command.Args()[0]
		}
		if isServer(name) && !command.Loop && !onlyAnswers(command) && (background || command.Background || !slices.Contains(running, name)) {
			running = append(running, name)
			background = background || detached
		}
	}
	if len(running) > 1 && background {
		return strings.Join(running, " and ")
	}
	return ""
}

// detaches says whether a server leaves the foreground by itself.
func detaches(command shell.Command) bool {
	if isPHP(command.Name()) {
		return slices.Contains(command.Args(), "-D")
	}
	foreground, known := selfDaemonizing[command.Name()]
	return known && !slices.ContainsFunc(foreground, func(option string) bool {
		return slices.ContainsFunc(command.Args(), func(arg string) bool { return strings.Contains(arg, option) })
	})
}

// onlyAnswers says whether a server is asked about its settings, or told to read them anew: nginx -t.
func onlyAnswers(command shell.Command) bool {
	_, known := selfDaemonizing[command.Name()]
	return known && slices.ContainsFunc(command.Args(), func(arg string) bool { return slices.Contains([]string{"-t", "-T", "-v", "-V", "-s"}, arg) })
}

func isServer(name string) bool { return slices.Contains(longRunning, name) || isPHP(name) }

// isPHP takes php-fpm8.3 and php8.3-fpm for php-fpm.
func isPHP(name string) bool {
	return strings.HasPrefix(name, "php-fpm") || strings.HasPrefix(name, "php") && strings.HasSuffix(name, "-fpm")
}
