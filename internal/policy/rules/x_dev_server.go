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
			Allowed: "next start, vite build, ng build, react-scripts build, uvicorn without --reload, and node --watch=false; Jobs and pods that run to their end.",
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

// devServers are programs that only develop; the words behind them, of which there must be one, make others do it.
var devServers = map[string][]string{
	"nodemon": nil, "webpack-dev-server": nil, "ts-node-dev": nil, "tsnd": nil, "browser-sync": nil, "live-server": nil,
	"next": {"dev"}, "nuxt": {"dev"}, "nuxi": {"dev"}, "astro": {"dev"}, "gatsby": {"develop"}, "ng": {"serve"}, "vue-cli-service": {"serve"}, "webpack": {"serve"},
	"vite": {"dev", "serve", ""}, "react-scripts": {"start"}, "remix": {"dev"}, "tsx": {"watch"}, "nest": {"start --watch"},
	"manage.py": {"runserver"}, "django-admin": {"runserver"}, "flask": {"run"}, "artisan": {"serve"},
	"npm": {"run dev", "run start:dev"}, "yarn": {"dev", "start:dev", "run dev"}, "pnpm": {"dev", "start:dev", "run dev"}, "bun": {"dev", "run dev"}, "dotnet": {"watch"},
}

// devOptions make a server reload or debug.
var devOptions = map[string][]string{
	"flask": {"--debug"}, "uvicorn": {"--reload"}, "gunicorn": {"--reload"}, "hypercorn": {"--reload"}, "php": {"-S"}, "node": {"--watch"},
}

// devServer is what a command develops by; empty if it doesn't.
func devServer(command shell.Command) string {
	if command.Name() == "dotnet" && len(command.Args()) > 0 && command.Args()[0] == "watch" {
		return "dotnet watch"
	}
	name, args := program(command)
	for _, option := range devOptions[name] {
		if slices.Contains(command.Words, option) {
			return name + " " + option
		}
	}
	if option := devOptions[command.Name()]; len(option) > 0 && len(command.Args()) > 0 && command.Args()[0] == option[0] {
		return command.Name() + " " + option[0]
	}
	verbs, known := devServers[name]
	if !known {
		return ""
	}
	said := strings.Join(args, " ") + " "
	for _, verb := range verbs {
		if verb == "" && len(args) == 0 && !slices.ContainsFunc(command.Args(), func(a string) bool { return a == "--version" || a == "--help" }) {
			return name
		}
		if verb != "" && strings.HasPrefix(said, verb+" ") {
			return name + " " + verb
		}
	}
	if len(verbs) == 0 {
		return name
	}
	return ""
}
