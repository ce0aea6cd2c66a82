package shell

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// inits are programs that pass signals on, or end although the program below them does not listen.
var inits = []string{"tini", "dumb-init", "catatonit", "tini-static", "docker-init"}

// SwallowsSignals says whether an argument vector is a shell that stays between the kubelet and the program: it has
// several commands, none of them behind exec, and traps nothing. A shell replaces itself by a single simple command.
func SwallowsSignals(argv []string) bool {
	file := parsed(argv)
	if file == nil || slices.Contains(inits, path.Base(argv[0])) {
		return false
	}
	commands, handled := 0, false
	syntax.Walk(file, func(node syntax.Node) bool {
		switch n := node.(type) {
		case *syntax.CmdSubst, *syntax.ProcSubst, *syntax.FuncDecl:
			return false
		case *syntax.WhileClause, *syntax.ForClause:
			commands++ // more than one run of it
		case *syntax.DeclClause:
			commands++
		case *syntax.CallExpr:
			if len(n.Args) == 0 {
				break
			}
			commands++
			name := n.Args[0].Lit()
			handled = handled || name == "trap" || name == "exec" && len(n.Args) > 1 || slices.Contains(inits, path.Base(name))
		}
		return true
	})
	return commands > 1 && !handled
}

// BashGivesWay says whether an argument vector is a script of bash that ends in a program: since 5.1 bash replaces
// itself by that one, as all shells do by a script's only one.
func BashGivesWay(argv []string) bool {
	file := parsed(argv)
	if file == nil || len(file.Stmts) == 0 || path.Base(unwrap(argv)[0]) != "bash" || definesOrLeaves(file) {
		return false
	}
	last := file.Stmts[len(file.Stmts)-1]
	for {
		if len(last.Redirs) > 0 || last.Background || last.Negated {
			return false
		}
		and, ok := last.Cmd.(*syntax.BinaryCmd)
		if !ok {
			call, ok := last.Cmd.(*syntax.CallExpr)
			return ok && (len(call.Args) > 0 && call.Args[0].Lit() == "" || isProgram(call))
		}
		if and.Op != syntax.AndStmt && and.Op != syntax.OrStmt {
			return false
		}
		last = and.Y
	}
}

// WaitsForEver says whether a script holds a loop that sleeps until something happens, and counts neither rounds nor time.
func WaitsForEver(argv []string) bool {
	file := parsed(argv)
	if file == nil || bounded(argv, unwrap(argv)) {
		return false
	}
	found := false
	syntax.Walk(file, func(node syntax.Node) bool {
		switch loop := node.(type) {
		case *syntax.WhileClause:
			found = found || waits(loop)
		case *syntax.ForClause: // for ((;;))
			c, isC := loop.Loop.(*syntax.CStyleLoop)
			found = found || isC && c.Cond == nil && waits(loop)
		}
		return !found
	})
	return found
}

// counting are words in a loop that tell of rounds or of time.
var counting = []string{"-lt", "-le", "-gt", "-ge", "expr", "let", "date", "timeout", "seq"}

func waits(loop syntax.Node) bool {
	sleeps, bounded := false, false
	syntax.Walk(loop, func(node syntax.Node) bool {
		switch n := node.(type) {
		case *syntax.ArithmCmd, *syntax.ArithmExp, *syntax.LetClause:
			bounded = true
		case *syntax.CallExpr:
			for i, word := range n.Args {
				text := word.Lit()
				sleeps = sleeps || i == 0 && path.Base(text) == "sleep"
				bounded = bounded || slices.Contains(counting, text) && (i == 0 || strings.HasPrefix(text, "-"))
			}
		}
		return true
	})
	return sleeps && !bounded
}

// parsed is the script of an argument vector, or nil.
func parsed(argv []string) *syntax.File {
	own := unwrap(argv)
	if len(own) == 0 {
		return nil
	}
	script, ok := scriptOf(own)
	if !ok {
		return nil
	}
	file, err := syntax.NewParser().Parse(strings.NewReader(script), "")
	if err != nil {
		return nil
	}
	return file
}
