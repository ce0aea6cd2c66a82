// Package terminal colours what people read.
package terminal

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"twelvefold.dev/internal/policy"
)

// Painter colours text, on a terminal only and where NO_COLOR (https://no-color.org) is not set.
type Painter bool

// For is the painter of a writer.
func For(w io.Writer) Painter {
	file, ok := w.(*os.File)
	return Painter(ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(file.Fd())))
}

func (p Painter) colour(code, text string) string {
	if !p {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// The colours.
func (p Painter) Red(text string) string    { return p.colour("31", text) }
func (p Painter) Green(text string) string  { return p.colour("32", text) }
func (p Painter) Yellow(text string) string { return p.colour("33", text) }
func (p Painter) Bold(text string) string   { return p.colour("1", text) }

// Level is the level in its colour.
func (p Painter) Level(l policy.Level) string {
	switch l {
	case policy.Deny:
		return p.Red(l.String())
	case policy.Warn:
		return p.Yellow(l.String())
	}
	return l.String()
}

// Diff colours a unified diff.
func (p Painter) Diff(text string) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		body := strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "+"):
			lines[i] = strings.Replace(line, body, p.Green(body), 1)
		case strings.HasPrefix(line, "-"):
			lines[i] = strings.Replace(line, body, p.Red(body), 1)
		}
	}
	return strings.Join(lines, "")
}
