package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// patience is how long nobody asks what takes so long.
const patience = 2 * time.Second

// Progress is a line that says how far something is, on a terminal only and if it takes long.
type Progress struct {
	w     io.Writer // nil: no terminal
	what  string
	start time.Time
	shown int // characters
}

// Begin begins something that may take long. It says nothing yet.
func Begin(w io.Writer, what string) *Progress {
	if file, ok := w.(*os.File); !ok || !term.IsTerminal(int(file.Fd())) {
		w = nil
	}
	return &Progress{w: w, what: what, start: time.Now()}
}

// Show says how much is done, from 0 to 1.
func (p *Progress) Show(done float64) {
	if p.w == nil || time.Since(p.start) < patience {
		return
	}
	line := fmt.Sprintf("%s: %.0f%%", p.what, 100*done)
	fmt.Fprintf(p.w, "\r%s", line)
	p.shown = max(p.shown, len(line))
}

// End takes the line away.
func (p *Progress) End() {
	if p.shown > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.shown))
		p.shown = 0
	}
}
