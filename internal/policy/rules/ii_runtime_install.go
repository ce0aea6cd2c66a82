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
			Allowed: "What installs nothing (pip download, npm run, apt-key, yarn start), what works offline (npm ci --offline, pip install --no-index, bundle install --local), a download into anything but a shell (curl … | tar, curl … | jq) or into a file that the script does not run, a package manager that is only mentioned (echo apt-get install), and what a node agent puts on its node by nsenter or chroot.",
			Example: "# Dockerfile: RUN apk add --no-cache jq=1.7.1-r0\nimage: contoso.azurecr.io/shop:1.4.2\ncommand: [\"/app/server\"]\n",
		},
		Check: checkRuntimeInstall,
	})
}

func checkRuntimeInstall(s *Subject, report func(Violation)) {
	for _, c := range s.Containers() {
		check := func(field string, commands []shell.Command) {
			var seen []string
			for i, command := range commands {
				if command.Outside {
					continue
				}
				what := installs(command)
				if what == "" && runsFile(commands[i+1:], downloaded(command)) {
					what = command.Name() + " of a program"
				}
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
	conda  = installer{[]string{"install", "create", "update", "env create", "env update"}, []string{"--offline", "--dry-run"}}

	installers = map[string]installer{
		"apt": debian, "apt-get": debian, "aptitude": debian,
		"dnf": redhat, "microdnf": redhat, "tdnf": redhat, "yum": redhat, "zypper": redhat,
		"apk": {[]string{"add", "upgrade"}, []string{"--no-network", "--simulate"}},
		"pip": python, "pip3": python, "pipx": python, "pipenv": {[]string{"install", "sync"}, nil},
		"poetry": {[]string{"install", "add", "sync"}, []string{"--dry-run"}},
		"uv":     {[]string{"sync", "add", "pip install", "pip sync", "tool install"}, []string{"--offline", "--no-index"}},
		"conda":  conda, "mamba": conda, "micromamba": conda,
		"npm":      {[]string{"install", "i", "ci", "add", "install-ci-test"}, []string{"--offline", "--dry-run"}},
		"pnpm":     {[]string{"install", "i", "add"}, []string{"--offline"}},
		"yarn":     {[]string{"", "install", "add"}, []string{"--offline", "--version", "--help"}},
		"bun":      {[]string{"install", "i", "add"}, []string{"--dry-run"}},
		"gem":      {[]string{"install"}, []string{"--local"}},
		"bundle":   {[]string{"", "install"}, []string{"--local", "--version", "--help"}},
		"composer": {[]string{"install", "require", "update"}, []string{"--dry-run"}},
		"cargo":    {[]string{"install"}, []string{"--offline"}},
		"go":       {[]string{"install", "get", "mod download"}, nil},
		"mix":      {[]string{"deps.get", "local.hex"}, nil},
		"dotnet":   {[]string{"tool install", "tool restore", "tool update", "add package"}, nil},
		"snap":     {[]string{"install"}, nil}, "brew": {[]string{"install"}, nil}, "choco": {[]string{"install"}, nil},
		"cpan": {[]string{"install"}, nil}, "luarocks": {[]string{"install"}, nil}, "opam": {[]string{"install"}, nil},
		"playwright": {[]string{"install"}, nil}, "puppeteer": {[]string{"browsers install"}, nil},
		"az": {[]string{"extension add"}, nil}, "gcloud": {[]string{"components install"}, nil}, "helm": {[]string{"plugin install"}, nil},
	}

	// valued are options before the subcommand that take the next word.
	valued = []string{"-o", "-c", "-t", "-C", "-p", "-X", "--prefix", "--cwd", "--dir", "--proxy", "--repository", "--root", "--installroot", "--cache-dir", "--log", "-d", "--working-dir"}
)

// installs is what a command installs by, in words that hold none of its arguments: those may hold a password.
func installs(command shell.Command) string {
	if what := runsDownload(command); what != "" {
		return what
	}
	name, args := started(command)
	switch {
	case strings.HasPrefix(name, "pip3."):
		name = "pip3"
	case name == "composer.phar":
		name = "composer"
	case command.Name() == "dotnet": // is a runner, too
		name, args = command.Name(), command.Args()
	}
	manager, ok := installers[name]
	if !ok || slices.ContainsFunc(args, func(a string) bool { return slices.Contains(manager.offline, a) }) {
		return ""
	}
	verb := subcommand(args)
	for _, v := range manager.verbs {
		if v == verb || strings.Contains(v, " ") && strings.HasPrefix(strings.Join(args, " ")+" ", v+" ") {
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

// downloaded is the file into which curl or wget writes; empty if it is none.
func downloaded(command shell.Command) string {
	if !slices.Contains(downloaders, command.Name()) {
		return ""
	}
	for _, r := range command.Redirects {
		return r.Target
	}
	file, remote := "", command.Name() == "wget"
	for i, arg := range command.Args() {
		switch {
		case arg == "--output" || arg == "--output-document" || isShort(arg) && strings.HasSuffix(arg, outputOption[command.Name()]):
			if i+1 < len(command.Args()) {
				return command.Args()[i+1]
			}
		case strings.HasPrefix(arg, "--output=") || strings.HasPrefix(arg, "--output-document="):
			_, file, _ := strings.Cut(arg, "=")
			return file
		case arg == "--remote-name" || command.Name() == "curl" && isShort(arg) && strings.Contains(arg, "O"):
			remote = true
		case isShort(arg) && strings.HasSuffix(arg, "O-"):
			return ""
		case strings.Contains(arg, "://"):
			file, _, _ = strings.Cut(base(arg), "?")
		}
	}
	if !remote {
		return ""
	}
	return file
}

// isShort says whether a word holds options of one letter: -fsSLo.
func isShort(word string) bool { return strings.HasPrefix(word, "-") && !strings.HasPrefix(word, "--") }

// outputOption is the letter before the name of the file.
var outputOption = map[string]string{"curl": "o", "wget": "O"}

// runsFile says whether commands run a file: by itself, by a shell, or by making it executable for the app.
func runsFile(commands []shell.Command, file string) bool {
	if file == "" || file == "-" {
		return false
	}
	same := func(word string) bool { return strings.TrimPrefix(word, "./") == strings.TrimPrefix(file, "./") }
	return slices.ContainsFunc(commands, func(c shell.Command) bool {
		if len(c.Words) == 0 {
			return false
		}
		switch args := c.Args(); {
		case same(c.Words[0]):
			return true
		case slices.Contains(shells, c.Name()):
			return slices.ContainsFunc(args, same)
		case c.Name() == "chmod":
			return len(args) > 1 && strings.ContainsAny(args[0], "x7531") && slices.ContainsFunc(args[1:], same)
		}
		return false
	})
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
