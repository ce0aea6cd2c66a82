package rules

import (
	"path"
	"slices"
	"strings"

	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/shell"
)

// runtime-install
//
//	restricted: containers[*].command, args, lifecycle.postStart.exec, and those of initContainers, ephemeralContainers
//	allowed:    package managers that install nothing, or nothing from the network
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "runtime-install", Factor: "II", Levels: policy.Levels{Baseline: policy.Warn, Strict: policy.Deny}},
		Page: policy.Page{
			Title:   "A container installs software when it starts",
			Why:     "Every start downloads what the image should hold. A start takes minutes instead of seconds, just when the autoscaler needs the pod; it fails when the mirror, the registry or the proxy does; and two replicas may run different versions, which nobody has scanned or tested.",
			Fix:     "Install at build time: a RUN line in the Dockerfile, with versions pinned. For a tool that only one container needs, take an image that has it.",
			Allowed: "What installs nothing (pip download, npm run, apt-key, yarn start), what works offline (npm ci --offline, pip install --no-index, bundle install --local), a download into anything but a shell (curl … | tar, curl … | jq), and a package manager that is only mentioned (echo apt-get install).",
			Example: "# Dockerfile: RUN apk add --no-cache jq=1.7.1-r0\nimage: contoso.azurecr.io/shop:1.4.2\ncommand: [\"/app/server\"]\n",
		},
		Check: checkRuntimeInstall,
	})
}

func checkRuntimeInstall(s *Subject, report func(Violation)) {
	for _, c := range s.Containers() {
		check := func(field string, commands []shell.Command) {
			var seen []string
			for _, command := range commands {
				what := installs(command)
				if what == "" || slices.Contains(seen, what) {
					continue
				}
				seen = append(seen, what)
				report(c.At(field, what+" at every start", "do it when the image is built (RUN in the Dockerfile)"))
			}
		}
		check(c.argvField(), c.Commands())
		check(".lifecycle.postStart.exec.command", c.PostStart())
	}
}

// installer is a package manager.
type installer struct {
	verbs   []string // subcommands that install; an empty one is the program without any
	offline []string // options by which it does without the network
}

var (
	debian = installer{[]string{"install", "reinstall", "upgrade", "dist-upgrade", "full-upgrade", "build-dep"}, []string{"--no-download", "--simulate", "-s", "--dry-run"}}
	redhat = installer{[]string{"install", "in", "update", "upgrade", "localinstall", "groupinstall"}, []string{"--cacheonly", "-C", "--assumeno"}}
	python = installer{[]string{"install"}, []string{"--no-index", "--dry-run"}}
	conda  = installer{[]string{"install", "create"}, []string{"--offline", "--dry-run"}}

	installers = map[string]installer{
		"apt": debian, "apt-get": debian, "aptitude": debian,
		"dnf": redhat, "microdnf": redhat, "tdnf": redhat, "yum": redhat, "zypper": redhat,
		"apk": {[]string{"add", "upgrade"}, []string{"--no-network", "--simulate"}},
		"pip": python, "pip3": python, "pipx": python, "pipenv": {[]string{"install", "sync"}, nil},
		"poetry": {[]string{"install", "add", "sync"}, []string{"--dry-run"}},
		"uv":     {[]string{"sync", "add", "pip install", "tool install"}, []string{"--offline", "--no-index"}},
		"conda":  conda, "mamba": conda, "micromamba": conda,
		"npm":      {[]string{"install", "i", "ci", "add", "install-ci-test"}, []string{"--offline", "--dry-run"}},
		"pnpm":     {[]string{"install", "i", "add"}, []string{"--offline"}},
		"yarn":     {[]string{"", "install", "add"}, []string{"--offline", "--version", "--help"}},
		"bun":      {[]string{"install", "add"}, []string{"--dry-run"}},
		"gem":      {[]string{"install"}, []string{"--local"}},
		"bundle":   {[]string{"", "install"}, []string{"--local", "--version", "--help"}},
		"composer": {[]string{"install", "require", "update"}, []string{"--dry-run"}},
		"cargo":    {[]string{"install"}, []string{"--offline"}},
		"go":       {[]string{"install", "get"}, nil},
	}

	// valued are options before the subcommand that take the next word.
	valued = []string{"-o", "-c", "-t", "-C", "-p", "-X", "--prefix", "--cwd", "--dir", "--proxy", "--repository", "--root", "--installroot", "--cache-dir", "--log", "-d", "--working-dir"}
)

// installs is what a command installs by, in words that hold none of its arguments: those may hold a password.
func installs(command shell.Command) string {
	if what := runsDownload(command); what != "" {
		return what
	}
	name, args := command.Name(), command.Args()
	if strings.HasPrefix(name, "python") && len(args) > 1 && args[0] == "-m" {
		name, args = args[1], args[2:]
	}
	if strings.HasPrefix(name, "pip3.") {
		name = "pip3"
	}
	manager, ok := installers[name]
	if !ok || slices.ContainsFunc(args, func(a string) bool { return slices.Contains(manager.offline, a) }) {
		return ""
	}
	verb := subcommand(args)
	for _, v := range manager.verbs {
		if v == verb || strings.Contains(v, " ") && strings.HasPrefix(strings.Join(args, " "), v) {
			return strings.TrimSpace(name + " " + v)
		}
	}
	return ""
}

// subcommand is the first word that is neither an option nor an option's value.
func subcommand(args []string) string {
	for i := 0; i < len(args); i++ {
		switch {
		case slices.Contains(valued, args[i]):
			i++
		case !strings.HasPrefix(args[i], "-"):
			return args[i]
		}
	}
	return ""
}

var (
	downloaders = []string{"curl", "wget"}
	shells      = []string{"sh", "bash", "ash", "dash", "zsh", "ksh"}
)

// runsDownload finds curl … | sh, sh <(curl …) and sh -c "$(curl …)".
func runsDownload(command shell.Command) string {
	if slices.Contains(downloaders, command.Name()) {
		for _, reader := range shell.Parse(command.PipedInto) {
			if !reader.InScript && readsProgram(reader.Words) {
				return command.Name() + " … | " + reader.Name()
			}
		}
	}
	for i, word := range command.Words {
		for _, d := range downloaders {
			substituted := strings.HasPrefix(word, "$("+d+" ") || strings.HasPrefix(word, "`"+d+" ")
			if i == 0 && substituted || i == 1 && command.Name() == "eval" && substituted {
				return `sh -c "$(` + d + ` …)"`
			}
			if i > 0 && strings.HasPrefix(word, "<("+d+" ") && (slices.Contains(append(shells, "source", "."), command.Name())) {
				return command.Name() + " <(" + d + " …)"
			}
		}
	}
	return ""
}

// readsProgram says whether an interpreter takes its program, not its data, from what is piped into it.
func readsProgram(words []string) bool {
	name := path.Base(words[0])
	interpreter := slices.Contains([]string{"perl", "ruby", "node"}, name) || strings.HasPrefix(name, "python")
	if !slices.Contains(shells, name) && !interpreter {
		return false
	}
	for _, word := range words[1:] {
		switch {
		case word == "-" || word == "-s" || word == "--":
			return true
		case !strings.HasPrefix(word, "-"): // a program of its own
			return false
		case interpreter && !strings.HasPrefix(word, "--") && strings.ContainsAny(word, "cemnp"), strings.HasPrefix(word, "-c"):
			return false
		}
	}
	return true
}
