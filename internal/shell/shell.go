// Package shell reads what a container runs: its argument vector and, behind `sh -c`, the script, parsed as a shell
// would and never by regular expressions.
package shell

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
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
	Bounded    bool       // timeout ends it
	Outside    bool       // nsenter or chroot runs it in another file system than the image's: the node's
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
	own := unwrap(argv)
	if len(own) == 0 {
		return nil
	}
	bounded, outside := bounded(argv, own), outside(argv, own)
	script, ok := nested(own)
	if !ok || depth == maxDepth {
		return []Command{{Words: own, Bounded: bounded, Outside: outside}}
	}
	file, err := syntax.NewParser().Parse(strings.NewReader(script), "")
	if err != nil {
		return nil
	}
	var commands []Command
	for _, statement := range file.Stmts {
		commands = append(commands, walk(statement, script, depth)...)
	}
	for i := range commands {
		commands[i].Bounded = commands[i].Bounded || bounded
		commands[i].Outside = commands[i].Outside || outside
	}
	return commands
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
	detached := map[*syntax.Stmt]bool{} // inside of what runs in the background
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
			background := n.Background || detached[n]
			call, ok := n.Cmd.(*syntax.CallExpr)
			if !ok {
				for _, inner := range statementsOf(n.Cmd) { // { a; b; } > log
					inherited[inner], detached[inner] = redirects, background
				}
				return true
			}
			found := simple(call, redirects, background, pipes[n], script, depth)
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

func simple(call *syntax.CallExpr, redirects []Redirect, background bool, reader *syntax.Stmt, script string, depth int) []Command {
	written := wordsOf(call, script)
	words := unwrap(written)
	c := Command{Words: words, Redirects: redirects, Background: background, InScript: true, Bounded: bounded(written, words), Outside: outside(written, words)}
	if reader != nil {
		if next, ok := reader.Cmd.(*syntax.CallExpr); ok {
			c.PipedInto = wordsOf(next, script)
		}
	}
	if _, ok := nested(words); ok {
		inner := parse(written, depth+1)
		for i := range inner {
			inner[i].Redirects = append(inner[i].Redirects, redirects...)
			inner[i].Background = inner[i].Background || background
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
