// Package shell reads what a container runs: its argument vector and, behind `sh -c`, the script, parsed as a shell
// would and never by regular expressions.
package shell

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"twelvefold.dev/internal/keyvault"
)

// Command is one simple command of a container's start.
type Command struct {
	Words      []string   // arguments without quotes; what is expanded at run time stands as written: $PORT
	Redirects  []Redirect //
	Background bool       // ends in &
	Loop       bool       // stands in a loop, or in its condition
	Maybe      bool       // may not run: stands in a branch, a loop, a function, or behind && or ||
	PipedInto  []string   // the program that reads its output, with its arguments
	InScript   bool       // stands in a script, not alone in the argument vector
}

// Redirect sends output into a file.
type Redirect struct {
	Operator string // > >> &> &>> >|
	Target   string
}

// Name is the program's name without its folder; empty for a command of redirects only.
func (c Command) Name() string {
	if len(c.Words) == 0 {
		return ""
	}
	return path.Base(c.Words[0])
}

// Args are the words behind the name.
func (c Command) Args() []string {
	if len(c.Words) == 0 {
		return nil
	}
	return c.Words[1:]
}

// maxDepth bounds sh -c within sh -c.
const maxDepth = 4

// Parse lists the commands of an argument vector, in order: a container's command followed by its args.
// A script that no shell could read has none.
func Parse(argv []string) []Command { return parse(argv, 0) }

func parse(argv []string, depth int) []Command {
	argv = unwrap(argv)
	if len(argv) == 0 {
		return nil
	}
	script, ok := scriptOf(argv)
	if !ok || depth == maxDepth {
		return []Command{{Words: argv}}
	}
	file, err := syntax.NewParser().Parse(strings.NewReader(script), "")
	if err != nil {
		return nil
	}
	var commands []Command
	for _, statement := range file.Stmts {
		commands = append(commands, walk(statement, script, depth)...)
	}
	return commands
}

// wrappers start the command that follows them; the options named take a value.
var wrappers = map[string][]string{
	"exec": nil, "tini": nil, "dumb-init": nil, "catatonit": nil, "nice": {"-n"}, "time": nil, "sudo": {"-u", "-g"}, "gosu": nil, "su-exec": nil, "command": nil,
	"env": {"-u", "-C"}, "stdbuf": nil, "setpriv": nil,
}

// unwrap leaves out what only starts another program: exec, tini --, env A=b.
func unwrap(argv []string) []string {
	for len(argv) > 0 {
		if len(argv) > 3 && argv[0] == keyvault.AgentPath && argv[1] == "exec" && argv[2] == "--" {
			argv = argv[3:]
			continue
		}
		name := path.Base(argv[0])
		valued, ok := wrappers[name]
		if !ok {
			return argv
		}
		rest := argv[1:]
		for len(rest) > 0 && (strings.HasPrefix(rest[0], "-") || name == "env" && strings.Contains(rest[0], "=")) {
			if skip := rest[0]; slices.Contains(valued, skip) && len(rest) > 1 {
				rest = rest[1:]
			}
			rest = rest[1:]
		}
		if (name == "gosu" || name == "su-exec") && len(rest) > 0 {
			rest = rest[1:] // the user
		}
		if len(rest) == 0 {
			return argv
		}
		argv = rest
	}
	return argv
}

var shells = []string{"sh", "bash", "ash", "dash", "zsh", "ksh"}

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
			if strings.HasSuffix(option, "o") && i+2 < len(argv) { // -co pipefail SCRIPT
				return argv[i+2], true
			}
			return argv[i+1], true
		}
	}
	return "", false
}

// IsScript says whether an argument vector is a shell with a script.
func IsScript(argv []string) bool {
	argv = unwrap(argv)
	if len(argv) == 0 {
		return false
	}
	_, ok := scriptOf(argv)
	return ok
}

func walk(root syntax.Node, script string, depth int) []Command {
	var commands []Command
	pipes := map[*syntax.Stmt]*syntax.Stmt{} // a statement and the one that reads its output
	inherited := map[*syntax.Stmt][]Redirect{}
	var loops, branches spans
	syntax.Walk(root, func(node syntax.Node) bool {
		switch n := node.(type) {
		case *syntax.WhileClause, *syntax.ForClause:
			loops.add(n)
		case *syntax.IfClause, *syntax.CaseClause, *syntax.FuncDecl:
			branches.add(n)
		case *syntax.BinaryCmd:
			if n.Op == syntax.Pipe || n.Op == syntax.PipeAll {
				pipes[lastOf(n.X)] = firstOf(n.Y)
			} else {
				branches.add(n.Y)
			}
		case *syntax.Stmt:
			redirects := append(slices.Clone(inherited[n]), redirectsOf(n, script)...)
			call, ok := n.Cmd.(*syntax.CallExpr)
			if !ok {
				for _, inner := range statementsOf(n.Cmd) { // { a; b; } > log
					inherited[inner] = redirects
				}
				return true
			}
			found := simple(call, n, redirects, pipes[n], script, depth)
			for i := range found {
				found[i].Loop = found[i].Loop || loops.hold(n)
				found[i].Maybe = found[i].Maybe || found[i].Loop || branches.hold(n)
			}
			commands = append(commands, found...)
		}
		return true
	})
	return commands
}

// spans are stretches of a script.
type spans [][2]uint

func (s *spans) add(n syntax.Node) {
	*s = append(*s, [2]uint{n.Pos().Offset(), n.End().Offset()})
}

func (s spans) hold(n syntax.Node) bool {
	return slices.ContainsFunc(s, func(span [2]uint) bool {
		return span[0] <= n.Pos().Offset() && n.End().Offset() <= span[1]
	})
}

func simple(call *syntax.CallExpr, n *syntax.Stmt, redirects []Redirect, reader *syntax.Stmt, script string, depth int) []Command {
	words := unwrap(wordsOf(call, script))
	c := Command{Words: words, Redirects: redirects, Background: n.Background, InScript: true}
	if reader != nil {
		if next, ok := reader.Cmd.(*syntax.CallExpr); ok {
			c.PipedInto = wordsOf(next, script)
		}
	}
	if IsScript(words) {
		inner := parse(words, depth+1)
		for i := range inner {
			inner[i].Redirects = append(inner[i].Redirects, redirects...)
			inner[i].Background = inner[i].Background || n.Background
		}
		return inner
	}
	if len(words) == 0 && len(redirects) == 0 {
		return nil // assignments only
	}
	return []Command{c}
}

// statementsOf are the statements right inside a compound command.
func statementsOf(command syntax.Command) []*syntax.Stmt {
	switch c := command.(type) {
	case *syntax.Block:
		return c.Stmts
	case *syntax.Subshell:
		return c.Stmts
	case *syntax.WhileClause:
		return c.Do
	case *syntax.ForClause:
		return c.Do
	case *syntax.IfClause:
		return c.Then
	case *syntax.BinaryCmd:
		return nil // the redirect belongs to its last command already
	}
	return nil
}

func redirectsOf(n *syntax.Stmt, script string) []Redirect {
	var redirects []Redirect
	for _, r := range n.Redirs {
		switch r.Op {
		case syntax.RdrOut, syntax.AppOut, syntax.RdrAll, syntax.AppAll, syntax.RdrClob:
			redirects = append(redirects, Redirect{Operator: r.Op.String(), Target: text(r.Word, script)})
		}
	}
	return redirects
}

func wordsOf(call *syntax.CallExpr, script string) []string {
	words := make([]string, len(call.Args))
	for i, w := range call.Args {
		words[i] = text(w, script)
	}
	return words
}

// text is a word without its quotes; expansions stay as written.
func text(w *syntax.Word, script string) string {
	var b strings.Builder
	var add func(parts []syntax.WordPart)
	add = func(parts []syntax.WordPart) {
		for _, part := range parts {
			switch p := part.(type) {
			case *syntax.Lit:
				b.WriteString(strings.ReplaceAll(p.Value, `\`, ""))
			case *syntax.SglQuoted:
				b.WriteString(p.Value)
			case *syntax.DblQuoted:
				add(p.Parts)
			default:
				b.WriteString(script[p.Pos().Offset():p.End().Offset()])
			}
		}
	}
	add(w.Parts)
	return b.String()
}

func lastOf(n *syntax.Stmt) *syntax.Stmt {
	if b, ok := n.Cmd.(*syntax.BinaryCmd); ok {
		return lastOf(b.Y)
	}
	return n
}

func firstOf(n *syntax.Stmt) *syntax.Stmt {
	if b, ok := n.Cmd.(*syntax.BinaryCmd); ok {
		return firstOf(b.X)
	}
	return n
}
