package shell

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// builtins are commands of the shell itself, before which exec would look for a program of that name, and words that
// would lose what they are for.
var builtins = []string{".", ":", "[", "alias", "bg", "bind", "break", "builtin", "caller", "cd", "chdir", "command", "continue", "dirs", "disown",
	"echo", "enable", "eval", "exec", "exit", "export", "false", "fc", "fg", "getopts", "hash", "help", "history", "jobs", "kill", "let", "local",
	"mapfile", "popd", "printf", "pushd", "pwd", "read", "readarray", "readonly", "return", "set", "shift", "shopt", "source", "suspend", "test",
	"time", "times", "trap", "true", "type", "ulimit", "umask", "unalias", "unset", "wait"}

// notFirst are programs that work behind a shell and not in its place: version managers that are functions of the shell's
// profile, and xvfb-run, whose X server sends no signal of its readiness to a process with the number 1.
var notFirst = []string{"asdf", "conda", "fnm", "mamba", "micromamba", "module", "nvm", "pyenv", "rbenv", "rvm", "sdk", "workon", "xvfb-run"}

// WithExec is an argument vector of `sh -c SCRIPT` whose script gives its place to its last command, by an exec before it.
// It is false where that could change anything else: the last command must be a program, run once and in the foreground,
// with nothing behind it that waits for its end. It is false as well where it would not help: what comes before must be
// known to end by itself, or the shell stays in front of that.
func WithExec(argv []string) ([]string, bool) {
	own := unwrap(argv)
	if len(own) == 0 || readsProfile(own) {
		return nil, false
	}
	script, ok := scriptOf(own)
	if !ok {
		return nil, false
	}
	file, err := syntax.NewParser().Parse(strings.NewReader(script), "")
	if err != nil || len(file.Stmts) == 0 || definesOrLeaves(file) {
		return nil, false
	}
	last := file.Stmts[len(file.Stmts)-1]
	for {
		if last.Background || last.Negated || last.Coprocess || len(last.Redirs) > 0 && !isCall(last) || hasDocument(last) {
			return nil, false
		}
		and, ok := last.Cmd.(*syntax.BinaryCmd)
		if !ok {
			break
		}
		if and.Op != syntax.AndStmt { // what stands behind || runs when the app has ended
			return nil, false
		}
		last = and.Y
	}
	call, ok := last.Cmd.(*syntax.CallExpr)
	if !ok || len(call.Assigns) > 0 || !isProgram(call) || !endsBefore(file, last, script) {
		return nil, false
	}
	at := call.Args[0].Pos().Offset()
	changed := slices.Clone(argv)
	changed[len(argv)-len(own)+slices.Index(own, script)] = script[:at] + "exec " + script[at:]
	return changed, true
}

// isProgram says whether a command is a program by its name, and may be the container's first process.
func isProgram(call *syntax.CallExpr) bool {
	if len(call.Args) == 0 {
		return false
	}
	name := call.Args[0].Lit()
	return name != "" && !strings.ContainsAny(name[:1], `-\`) && !slices.Contains(builtins, name) && !slices.Contains(notFirst, path.Base(name))
}

// readsProfile says whether a shell runs other scripts first, which may define functions and aliases, or refuses exec:
// a login or interactive shell, zsh, a restricted one.
func readsProfile(argv []string) bool {
	if slices.Contains([]string{"zsh", "rbash"}, path.Base(argv[0])) {
		return true
	}
	for _, option := range argv[1:] {
		letters, is := strings.CutPrefix(option, "-")
		long, isLong := strings.CutPrefix(letters, "-")
		switch {
		case !is && !strings.HasPrefix(option, "+"): // the script, or the value of an option before it
			if strings.ContainsAny(option, " \n;") {
				return false
			}
		case isLong && slices.Contains([]string{"login", "restricted", "rcfile", "init-file"}, long):
			return true
		case is && !isLong && strings.ContainsAny(letters, "lir"):
			return true
		}
	}
	return false
}

// hasDocument says whether a command reads its input from the script, which some shells have another process write.
func hasDocument(s *syntax.Stmt) bool {
	return slices.ContainsFunc(s.Redirs, func(r *syntax.Redirect) bool { return r.Hdoc != nil || r.Op == syntax.WordHdoc })
}

func isCall(s *syntax.Stmt) bool {
	_, ok := s.Cmd.(*syntax.CallExpr)
	return ok
}

// definesOrLeaves says whether a script may know a function or alias by a program's name, handles signals by itself, or
// has other programs run beside the last one, which would lose their parent.
func definesOrLeaves(file *syntax.File) (found bool) {
	syntax.Walk(file, func(node syntax.Node) bool {
		switch n := node.(type) {
		case *syntax.FuncDecl, *syntax.CoprocClause, *syntax.ProcSubst:
			found = true
		case *syntax.Stmt:
			found = found || n.Background
		case *syntax.CallExpr:
			if len(n.Args) > 0 && slices.Contains([]string{".", "source", "alias", "eval", "trap", "exec", "builtin"}, n.Args[0].Lit()) {
				found = true
			}
		}
		return !found
	})
	return found
}
