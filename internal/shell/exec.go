package shell

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// builtins are commands of the shell itself, before which exec would look for a program of that name, and words that
// would lose what they are for.
var builtins = []string{".", ":", "[", "alias", "bg", "break", "builtin", "cd", "command", "continue", "echo", "eval", "exec", "exit",
	"export", "false", "fg", "hash", "jobs", "kill", "let", "local", "printf", "pwd", "read", "readonly", "return", "set", "shift",
	"shopt", "source", "test", "time", "times", "trap", "true", "type", "ulimit", "umask", "unalias", "unset", "wait"}

// WithExec is an argument vector of `sh -c SCRIPT` whose script gives its place to its last command, by an exec before it.
// It is false where that could change anything else: the last command must be a program, run once and in the foreground,
// with nothing behind it that waits for its end.
func WithExec(argv []string) ([]string, bool) {
	own := unwrap(argv)
	if len(own) == 0 {
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
		if last.Background || last.Negated || last.Coprocess || len(last.Redirs) > 0 && !isCall(last) {
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
	if !ok || len(call.Args) == 0 || len(call.Assigns) > 0 {
		return nil, false
	}
	if name := call.Args[0].Lit(); name == "" || slices.Contains(builtins, name) {
		return nil, false
	}
	at := call.Args[0].Pos().Offset()
	changed := slices.Clone(argv)
	changed[len(argv)-len(own)+slices.Index(own, script)] = script[:at] + "exec " + script[at:]
	return changed, true
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
		case *syntax.FuncDecl, *syntax.CoprocClause:
			found = true
		case *syntax.Stmt:
			found = found || n.Background
		case *syntax.CallExpr:
			if len(n.Args) > 0 && slices.Contains([]string{".", "source", "alias", "eval", "trap", "exec"}, n.Args[0].Lit()) {
				found = true
			}
		}
		return !found
	})
	return found
}
