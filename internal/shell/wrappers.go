package shell

import (
	"path"
	"slices"
	"strings"

	"twelvefold.dev/internal/keyvault"
)

// wrapper is a program that starts the command behind its own arguments.
type wrapper struct {
	valued []string // options that take the next word
	first  int      // how many words stand before the command: a user, a time, a file
}

var (
	none = wrapper{}
	user = wrapper{first: 1}

	wrappers = map[string]wrapper{
		"exec": {valued: []string{"-a"}}, "command": none, "time": none, "busybox": none, "unbuffer": none, "with-contenv": none,
		"tini": none, "tini-static": none, "dumb-init": {valued: []string{"-r", "--rewrite"}}, "catatonit": none, "docker-init": none,
		"env": {valued: []string{"-u", "-C"}}, "stdbuf": {valued: []string{"-i", "-o", "-e"}},
		"nice": {valued: []string{"-n"}}, "ionice": {valued: []string{"-c", "-n"}}, "taskset": {valued: []string{"-c"}},
		"sudo": {valued: []string{"-u", "-g"}}, "doas": {valued: []string{"-u"}}, "runuser": {valued: []string{"-u", "-g"}},
		"gosu": user, "su-exec": user, "s6-setuidgid": user, "setuser": user, "chpst": {valued: []string{"-u", "-U", "-e"}},
		"setpriv": {valued: []string{"--reuid", "--regid", "--groups", "--inh-caps", "--bounding-set"}},
		"chroot":  {first: 1}, "nsenter": {valued: []string{"-t", "--target", "-S", "-G"}},
		"timeout": {valued: []string{"-s", "--signal", "-k", "--kill-after"}, first: 1}, "flock": {valued: []string{"-w", "-E"}, first: 1},
		"ddtrace-run": none, "opentelemetry-instrument": none,
	}
)

// unwrap leaves out what only starts another program: exec, tini --, env A=b, an image's entrypoint script.
func unwrap(argv []string) []string {
	for len(argv) > 0 {
		rest := inside(argv)
		if len(rest) == 0 {
			return argv
		}
		argv = rest
	}
	return argv
}

// inside is the command that a wrapper starts; nil if the first word is none.
func inside(argv []string) []string {
	if len(argv) > 3 && argv[0] == keyvault.AgentPath && argv[1] == "exec" && argv[2] == "--" {
		return argv[3:]
	}
	name, rest := path.Base(argv[0]), argv[1:]
	if isEntrypoint(name) {
		if len(rest) > 0 && strings.HasPrefix(rest[0], "-") { // options for the image's own program
			return nil
		}
		return rest
	}
	wrapper, ok := wrappers[name]
	if !ok || name == "command" && len(rest) > 0 && strings.HasPrefix(strings.ToLower(rest[0]), "-v") { // which looks for it only
		return nil
	}
	for len(rest) > 0 && (strings.HasPrefix(rest[0], "-") || name == "env" && strings.Contains(rest[0], "=")) {
		option := rest[0]
		rest = rest[1:]
		if option == "--" {
			break
		}
		if slices.Contains(wrapper.valued, option) && len(rest) > 0 {
			rest = rest[1:]
		}
	}
	return rest[min(wrapper.first, len(rest)):]
}

// isEntrypoint says whether a script is one that ends in exec "$@", as those of official images do.
func isEntrypoint(name string) bool {
	return strings.HasSuffix(name, "entrypoint.sh") || slices.Contains([]string{"docker-entrypoint", "docker-php-entrypoint"}, name)
}

// bounded says whether timeout ends the command own within argv.
func bounded(argv, own []string) bool { return behind(argv, own, "timeout") }

// outside says whether the command own within argv sees another file system than the image's.
func outside(argv, own []string) bool { return behind(argv, own, "nsenter", "chroot") }

func behind(argv, own []string, wrappers ...string) bool {
	return slices.ContainsFunc(argv[:len(argv)-len(own)], func(word string) bool { return slices.Contains(wrappers, path.Base(word)) })
}

var shells = []string{"sh", "bash", "ash", "dash", "zsh", "ksh", "mksh", "rbash"}

// scriptOf is the script of sh -c, whatever options stand before it: bash -euo pipefail -c SCRIPT.
func scriptOf(argv []string) (string, bool) {
	if !slices.Contains(shells, path.Base(argv[0])) {
		return "", false
	}
	for i := 1; i+1 < len(argv); i++ {
		option := argv[i]
		if !strings.HasPrefix(option, "-") && !strings.HasPrefix(option, "+") {
			if i > 1 && strings.HasSuffix(argv[i-1], "o") { // the value of -o
				continue
			}
			return "", false
		}
		if strings.HasPrefix(option, "-") && !strings.HasPrefix(option, "--") && strings.Contains(option, "c") {
			script := argv[i+1:]
			if len(script) > 1 && (strings.HasSuffix(option, "o") || script[0] == "--") { // -co pipefail SCRIPT
				script = script[1:]
			}
			return script[0], true
		}
	}
	return "", false
}

// nested is the script that a command hands to a shell: sh -c, su -c, runuser -c.
func nested(argv []string) (string, bool) {
	if len(argv) == 0 {
		return "", false
	}
	if !slices.Contains([]string{"su", "runuser"}, path.Base(argv[0])) {
		return scriptOf(argv)
	}
	i := slices.IndexFunc(argv, func(word string) bool { return word == "-c" || word == "-lc" || word == "--command" })
	if i < 0 || i+1 >= len(argv) {
		return "", false
	}
	return argv[i+1], true
}
