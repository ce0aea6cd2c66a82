package logs

import (
	"path"
	"slices"
	"strings"

	"twelvefold.dev/internal/shell"
)

// redirectSignals are where a shell sends a command's own output into a log.
func redirectSignals(command shell.Command) []Signal {
	var signals []Signal
	for _, r := range command.Redirects {
		if IsLog(r.Target) && !prepares(command, r.Operator) {
			signals = append(signals, Signal{Name: "redirect", Kind: Redirect, Confidence: Certain, Seen: r.Operator + " " + r.Target,
				Path: absolute(r.Target), Instead: "leave the redirection out: what the command prints then is the log"})
		}
	}
	if command.Name() == "tee" && command.InScript {
		for _, file := range command.Args() {
			if !strings.HasPrefix(file, "-") && IsLog(file) { // stdout has the lines too, so it is no loss
				signals = append(signals, Signal{Name: "tee", Kind: Redirect, Confidence: Likely, Seen: "tee " + file, Path: absolute(file),
					Instead: "leave tee out: stdout has the lines already"})
			}
		}
	}
	return signals
}

// prepares says whether a command only makes or empties the file: `: > app.log`, `echo start > app.log`. Text that is
// appended is a log.
func prepares(command shell.Command, operator string) bool {
	switch name := command.Name(); name {
	case "", ":", "true":
		return true
	case "echo", "printf", "cat", "date", "envsubst", "sed", "awk", "jq":
		return !slices.Contains([]string{">>", "&>>"}, operator) && !command.Loop
	}
	return false
}

// IsLog says whether a path is a log's by its name or its folder.
func IsLog(file string) bool {
	if Standard(file) {
		return false
	}
	if strings.HasSuffix(file, ".log") {
		return true
	}
	return slices.ContainsFunc(strings.Split(path.Dir(file), "/"), func(dir string) bool { return dir == "log" || dir == "logs" })
}
