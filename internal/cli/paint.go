package cli

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"twelvefold.dev/internal/policy"
)

// painter colours text, on a terminal only and where NO_COLOR (https://no-color.org) is not set.
type painter bool

func newPainter(w io.Writer) painter {
	file, ok := w.(*os.File)
	return painter(ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(file.Fd())))
}

func (p painter) colour(code, text string) string {
	if !p {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p painter) red(text string) string    { return p.colour("31", text) }
func (p painter) green(text string) string  { return p.colour("32", text) }
func (p painter) yellow(text string) string { return p.colour("33", text) }
func (p painter) bold(text string) string   { return p.colour("1", text) }

func (p painter) level(l policy.Level) string {
	switch l {
	case policy.Deny:
		return p.red(l.String())
	case policy.Warn:
		return p.yellow(l.String())
	}
	return l.String()
}

// diff colours a unified diff.
func (p painter) diff(text string) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		body := strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "+"):
			lines[i] = strings.Replace(line, body, p.green(body), 1)
		case strings.HasPrefix(line, "-"):
			lines[i] = strings.Replace(line, body, p.red(body), 1)
		}
	}
	return strings.Join(lines, "")
}
