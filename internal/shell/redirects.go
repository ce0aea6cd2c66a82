package shell

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// WithoutRedirects is an argument vector of `sh -c SCRIPT` whose script doesn't send output into the files that drop
// names: those redirections are cut out by their place in the parsed script, and all else stays as written. It is false
// where none can be cut out with certainty: what a command then prints must go where the container's own output goes.
// Commands in pipes, functions and substitutions are left alone.
func WithoutRedirects(argv []string, drop func(Redirect) bool) ([]string, bool) {
	own := unwrap(argv)
	if len(own) == 0 {
		return nil, false
	}
	script, ok := scriptOf(own)
	if !ok {
		return nil, false
	}
	file, err := syntax.NewParser().Parse(strings.NewReader(script), "")
	if err != nil {
		return nil, false
	}
	c := cutter{script: script, drop: drop}
	c.statements(file.Stmts)
	if c.uncertain || len(c.cuts) == 0 {
		return nil, false
	}
	changed := slices.Clone(argv)
	at := len(argv) - len(own) + slices.Index(own, script)
	changed[at] = c.cut()
	return changed, true
}

// cutter finds the redirections to cut out of a script.
type cutter struct {
	script    string
	drop      func(Redirect) bool
	cuts      spans
	uncertain bool
}

// statements are those whose output is the container's.
func (c *cutter) statements(list []*syntax.Stmt) {
	for _, s := range list {
		c.statement(s)
	}
}

func (c *cutter) statement(s *syntax.Stmt) {
	if call, ok := s.Cmd.(*syntax.CallExpr); s.Cmd == nil || ok && len(call.Args) == 0 {
		return // prints nothing
	}
	if !c.redirects(s) {
		return // its output goes elsewhere on purpose
	}
	switch n := s.Cmd.(type) {
	case *syntax.BinaryCmd:
		if n.Op == syntax.AndStmt || n.Op == syntax.OrStmt {
			c.statement(n.X)
			c.statement(n.Y)
		}
	case *syntax.Block:
		c.statements(n.Stmts)
	case *syntax.Subshell:
		c.statements(n.Stmts)
	case *syntax.WhileClause:
		c.statements(n.Do)
	case *syntax.ForClause:
		c.statements(n.Do)
	case *syntax.IfClause:
		for clause := n; clause != nil; clause = clause.Else {
			c.statements(clause.Then)
		}
	}
}

// redirects cuts out those of one statement. It says whether what the statement prints then goes to the container's output.
func (c *cutter) redirects(s *syntax.Stmt) bool {
	kept := false
	for _, r := range s.Redirs {
		switch r.Op {
		case syntax.RdrOut, syntax.AppOut, syntax.RdrAll, syntax.AppAll, syntax.RdrClob:
		case syntax.DplOut:
			kept = kept || text(r.Word, c.script) != "1" && text(r.Word, c.script) != "2"
			continue
		default:
			continue
		}
		standard := r.N == nil || r.N.Value == "1" || r.N.Value == "2"
		if standard && !runs(r.Word) && c.drop(Redirect{Operator: r.Op.String(), Target: text(r.Word, c.script)}) {
			c.cuts.add(r)
			continue
		}
		kept = true
	}
	if call, ok := s.Cmd.(*syntax.CallExpr); ok && kept && len(call.Args) == 1 && text(call.Args[0], c.script) == "exec" {
		c.uncertain = true // exec > file: where all that follows goes
	}
	return !kept
}

// cut is the script without what was found, and without the blanks before it.
func (c *cutter) cut() string {
	slices.SortFunc(c.cuts, func(a, b [2]uint) int { return int(a[0]) - int(b[0]) })
	var b strings.Builder
	from := uint(0)
	for _, cut := range c.cuts {
		before := c.script[from:cut[0]]
		if trimmed := strings.TrimRight(before, " \t"); !strings.HasSuffix(trimmed, `\`) { // which makes the blank a part of a word
			before = trimmed
		}
		b.WriteString(before)
		from = cut[1]
	}
	b.WriteString(c.script[from:])
	return b.String()
}

// runs says whether a word is made by running something.
func runs(w *syntax.Word) (found bool) {
	syntax.Walk(w, func(node syntax.Node) bool {
		switch node.(type) {
		case *syntax.CmdSubst, *syntax.ProcSubst:
			found = true
		}
		return !found
	})
	return found
}
