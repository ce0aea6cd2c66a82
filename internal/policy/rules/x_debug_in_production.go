package rules

import (
	"regexp"
	"slices"
	"strings"

	"twelvefold.dev/internal/policy"
)

// debug-in-production
//
//	restricted: env[*].value, command and args, where the policy says environment: production
//	allowed:    everything in another environment; debug containers; log levels
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "debug-in-production", Factor: "X", Levels: policy.At(policy.Deny)},
		Page: policy.Page{
			Title: "Production runs in debug mode",
			Why: "Debug modes show stack traces and settings to strangers, keep every query in memory, and a debugger's port runs any code that is sent to it, without a password. " +
				"Production then behaves as no other environment did before it.",
			Fix:     "Leave the switch out, or set it to what production means. To look into a running pod, use kubectl debug with an ephemeral container; to see more, raise the log level.",
			Allowed: "LOG_LEVEL=debug; NODE_OPTIONS=--inspect without an address or on 127.0.0.1; ephemeral containers; namespaces whose environment is not production.",
			Example: "env:\n- {name: ASPNETCORE_ENVIRONMENT, value: Production}\n- {name: NODE_ENV, value: production}\n",
		},
		Check: checkDebugInProduction,
	})
}

// debugSwitches are variables with the values that turn debugging on, in lower case, and what to write instead.
var debugSwitches = map[string]struct {
	values  []string
	instead string
}{
	"DEBUG":                  {truths, ""},
	"APP_DEBUG":              {truths, "false"},
	"DJANGO_DEBUG":           {truths, "false"},
	"FLASK_DEBUG":            {truths, "0"},
	"WERKZEUG_DEBUG_PIN":     {[]string{"off"}, ""},
	"ASPNETCORE_ENVIRONMENT": {development, "Production"},
	"DOTNET_ENVIRONMENT":     {development, "Production"},
	"NODE_ENV":               {development, "production"},
	"FLASK_ENV":              {development, "production"},
	"RAILS_ENV":              {development, "production"},
	"RACK_ENV":               {development, "production"},
	"APP_ENV":                {append([]string{"local"}, development...), "production"},
	"MIX_ENV":                {development, "prod"},
	"GIN_MODE":               {[]string{"debug"}, "release"},
	"SYMFONY_ENV":            {development, "prod"},
	"SPRING_PROFILES_ACTIVE": {development, "kubernetes"},
	"MICRONAUT_ENVIRONMENTS": {development, "k8s"},
	"QUARKUS_PROFILE":        {development, "prod"},
	"WP_DEBUG":               {truths, "false"},
	"WORDPRESS_DEBUG":        {truths, ""},
	"PYTHONDEVMODE":          {truths, ""},

	"ASPNETCORE_DETAILEDERRORS":       {truths, "false"},
	"SPRING_DEVTOOLS_RESTART_ENABLED": {truths, "false"},
	"XDEBUG_MODE":                     {[]string{"debug", "develop"}, "off"},
}

var (
	truths      = []string{"1", "true", "yes", "on"}
	development = []string{"development", "dev"}
	loopback    = regexp.MustCompile(`^(127\.|localhost|\[::1\])`)
	bindAddress = regexp.MustCompile(`^--inspect(?:-brk|-wait|-port)?=(.*[^\d].*)$`)
)

// debuggers are programs that run another one, and their names.
var debuggers = map[string]string{"dlv": "Delve", "gdbserver": "gdb", "rdbg": "debug.rb"}

const noDebugger = "leave it out, and use kubectl debug where you must look inside"

func checkDebugInProduction(s *Subject, report func(Violation)) {
	if !strings.EqualFold(s.Policy.Environment, "production") {
		return
	}
	for _, c := range s.Containers(Init, Sidecar, Main) {
		for _, e := range c.Env {
			path := ".env[name=\"" + e.Name + "\"]"
			one := func(value string) bool {
				return slices.Contains(debugSwitches[e.Name].values, strings.ToLower(strings.TrimSpace(value)))
			}
			if debug := debugSwitches[e.Name]; slices.ContainsFunc(strings.Split(e.Value, ","), one) { // profiles are a list
				fix := "leave it out"
				if debug.instead != "" {
					fix = "write value: \"" + debug.instead + "\""
				}
				report(c.At(path, e.Name+" turns debugging on in production", fix))
			} else if seen := debugger(strings.Fields(e.Value)); seen != "" {
				report(c.At(path, seen, noDebugger))
			}
		}
		for _, command := range c.Commands() {
			if seen := debugger(command.Words); seen != "" {
				report(c.At(c.argvField(), seen, noDebugger))
				break
			}
		}
	}
}

// debugger is what the options or the command open to a debugger, or empty.
func debugger(words []string) string {
	for i, word := range words {
		word = strings.Trim(word, `"'`)
		address := bindAddress.FindStringSubmatch(word)
		switch {
		case strings.HasPrefix(word, "-agentlib:jdwp=") || strings.HasPrefix(word, "-Xrunjdwp:"):
			return "the JVM opens a debugger's port (jdwp) in production"
		case address != nil && !loopback.MatchString(address[1]):
			return "Node.js opens a debugger's port beyond localhost in production"
		case i == 0 && debuggers[base(word)] != "":
			return "the app runs under a debugger (" + debuggers[base(word)] + ") in production"
		case word == "jpda" && i > 0 && base(words[i-1]) == "catalina.sh":
			return "the JVM opens a debugger's port (jpda) in production"
		case word == "debugpy" && i > 0 && words[i-1] == "-m":
			return "the app runs under a debugger (debugpy) in production"
		}
	}
	return ""
}
