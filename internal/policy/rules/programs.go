package rules

import (
	"slices"
	"strings"

	"twelvefold.dev/internal/shell"
)

// runners start the program that their arguments name, behind one of the words given.
var runners = map[string][]string{
	"bundle": {"exec"}, "npx": nil, "pnpx": nil, "pnpm": {"exec", "dlx"}, "yarn": {"dlx"}, "npm": {"exec"}, "bun": {"x"}, "bunx": nil,
	"corepack": nil, "poetry": {"run"}, "uv": {"run"}, "pipenv": {"run"}, "pdm": {"run"}, "hatch": {"run"}, "rye": {"run"},
	"python": nil, "python3": nil, "php": nil, "ruby": nil, "node": nil, "dotnet": nil,
}

// scriptRunners run a script of the package: npm run build, yarn build. So they do with a program that it has installed,
// which only its name tells from a script.
var scriptRunners = []string{"npm", "yarn", "pnpm", "bun"}

// program is what a command runs in the end, behind bundle exec, npx, python -m and their like, and its arguments
// without options.
func program(command shell.Command) (name string, args []string) {
	name, words := started(command)
	for _, arg := range words {
		if !strings.HasPrefix(arg, "-") {
			args = append(args, arg)
		}
	}
	return name, args
}

// started is what a command runs in the end, and all words behind it.
func started(command shell.Command) (name string, args []string) {
	words := command.Words
	for len(words) > 1 {
		rest := behindRunner(words)
		if rest == nil {
			break
		}
		words = rest
	}
	if len(words) == 0 {
		return "", nil
	}
	name = base(words[0])
	if at := strings.LastIndexByte(name, '@'); at > 0 { // npx prisma@6
		name = name[:at]
	}
	return name, words[1:]
}

// behindRunner is the command that the first word starts; nil if it starts none.
func behindRunner(words []string) []string {
	name := base(words[0])
	verbs, runner := runners[name]
	if !runner && !strings.HasPrefix(name, "python3.") {
		return nil
	}
	rest := words[1:]
	for len(rest) > 1 && strings.HasPrefix(rest[0], "-") {
		rest = rest[1:]
	}
	if len(verbs) == 0 {
		return rest
	}
	if !slices.Contains(verbs, rest[0]) || len(rest) < 2 {
		run := rest[0] == "run" && len(rest) > 1
		if run {
			rest = rest[1:]
		}
		if slices.Contains(scriptRunners, name) && (run || name != "npm") && isKnownProgram(base(rest[0])) {
			return rest
		}
		return nil
	}
	rest = rest[1:]
	if rest[0] == "--" && len(rest) > 1 {
		rest = rest[1:]
	}
	return rest
}

func isKnownProgram(name string) bool {
	_, serves := devServers[name]
	return serves || devOptions[name] != nil || migrators[name] != nil && !migrates(name)
}

func base(word string) string { return word[strings.LastIndexByte(word, '/')+1:] }

// says tells whether the arguments of a program hold the words of a subcommand one after the other. What stands before
// may be an option's value.
func says(args []string, subcommand string) bool {
	words := strings.Fields(subcommand)
	for i := 0; i+len(words) <= len(args); i++ {
		if slices.Equal(args[i:i+len(words)], words) {
			return true
		}
	}
	return false
}
