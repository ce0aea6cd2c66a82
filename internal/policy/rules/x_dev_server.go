package rules

import (
	"slices"
	"strings"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/shell"
)

// dev-server
//
//	restricted: containers[*].command, args, and those of native sidecars
//	allowed:    the production commands of the same programs
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "dev-server", Factor: "X", Levels: policy.Levels{Baseline: policy.Warn, Strict: policy.Deny}},
		Page: policy.Page{
			Title:   "The app runs under a development server",
			Why:     "Development servers watch files, compile at start, show stack traces to everyone and serve one request after the other. Their makers say not to expose them. What is tested on one of them is another program than what production runs.",
			Fix:     "Build at build time and start the production server: node dist/server.js, next start, gunicorn, uvicorn without --reload, php-fpm, a static web server for what webpack or vite has built.",
			Allowed: "next start, fastapi run, nest start, vite build, ng build, react-scripts build, uvicorn without --reload, and node --watch=false; Jobs and pods that run to their end.",
			Example: "command: [\"gunicorn\", \"--bind=:8080\", \"shop:app\"]   # not: flask run --debug\n",
		},
		Check: func(s *Subject, report func(Violation)) {
			if s.endsByItself() {
				return
			}
			for _, c := range s.Containers(Main, Sidecar) {
				for _, command := range c.Commands() {
					if what := devServer(command); what != "" {
						report(c.At(c.argvField(), what+" is for development", "build before, and start the production server"))
						break
					}
				}
			}
		},
	})
}

// devServers are programs that only develop; the words behind them, of which there must be one, make others do it. An
// empty one stands for none.
var devServers = map[string][]string{
	"nodemon": nil, "webpack-dev-server": nil, "ts-node-dev": nil, "tsnd": nil, "browser-sync": nil, "live-server": nil, "CompileDaemon": nil, "watchmedo": {"auto-restart"}, "watchfiles": nil,
	"next": {"dev"}, "nuxt": {"dev"}, "nuxi": {"dev"}, "astro": {"dev"}, "gatsby": {"develop"}, "ng": {"serve"}, "ionic": {"serve"}, "vue-cli-service": {"serve"}, "webpack": {"serve"},
	"vite": {"dev", "serve", ""}, "react-scripts": {"start"}, "remix": {"dev"}, "tsx": {"watch"}, "air": nil,
	"manage.py": {"runserver"}, "django-admin": {"runserver"}, "flask": {"run"}, "fastapi": {"dev"}, "artisan": {"serve"}, "symfony": {"serve", "server:start"},
	"npm": {"run dev", "run start:dev"}, "yarn": {"dev", "start:dev", "run dev"}, "pnpm": {"dev", "start:dev", "run dev", "run start:dev"}, "bun": {"dev", "run dev"},
	"dotnet": {"watch"}, "cargo": {"watch"}, "quarkus": {"dev"}, "mvn": {"quarkus:dev"}, "mvnw": {"quarkus:dev"}, "gradle": {"quarkusDev"}, "gradlew": {"quarkusDev"},
}

// devOptions make a server reload or debug.
var devOptions = map[string][]string{
	"flask": {"--debug"}, "uvicorn": {"--reload"}, "gunicorn": {"--reload"}, "hypercorn": {"--reload"}, "php": {"-S"}, "node": {"--watch"}, "deno": {"--watch"},
	"bun": {"--watch", "--hot"}, "nest": {"--watch", "-w"},
}

// devServer is what a command develops by; empty if it doesn't.
func devServer(command shell.Command) string {
	name, args := program(command)
	for _, runner := range []string{name, command.Name()} { // php -S is no script that PHP starts
		for _, option := range devOptions[runner] {
			if i := slices.Index(command.Words, option); i > 0 && (runner == name || i == 1) {
				return runner + " " + option
			}
		}
	}
	if command.Name() == "dotnet" && len(command.Args()) > 0 && command.Args()[0] == "watch" {
		return "dotnet watch"
	}
	verbs, known := devServers[name]
	if !known {
		return ""
	}
	for _, verb := range verbs {
		if verb == "" && only(command, name) || verb != "" && develops(args, verb) {
			return strings.TrimSpace(name + " " + verb)
		}
	}
	if len(verbs) == 0 {
		return name
	}
	return ""
}

// develops says whether the arguments begin with a subcommand, or hold it behind the values of options.
func develops(args []string, verb string) bool {
	return strings.HasPrefix(strings.Join(args, " ")+" ", verb+" ") || len(args) > 1 && !strings.Contains(verb, " ") && args[1] == verb
}

// only says whether a program was started with options only, and with none that just answers.
func only(command shell.Command, name string) bool {
	at := slices.IndexFunc(command.Words, func(w string) bool { return base(w) == name })
	return at >= 0 && !slices.ContainsFunc(command.Words[at+1:], func(w string) bool {
		return !strings.HasPrefix(w, "-") || w == "--version" || w == "--help"
	})
}
