package logs

import (
	"path"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/shell"
)

// unbuffered is the variable that lets Python write each line as it is printed.
const unbuffered = "PYTHONUNBUFFERED"

var python = regexp.MustCompile(`^(python|pypy)[0-9.]*$`)

// printsOn are programs that write what they read to their own output, line by line, more or less.
var printsOn = []string{"awk", "cat", "cronolog", "egrep", "grep", "jq", "logger", "multilog", "rotatelogs", "sed", "stdbuf", "tail", "tee", "ts"}

// bufferSignals is Python that keeps what it prints to a pipe in a buffer of some KiB.
func bufferSignals(c *corev1.Container) []Signal {
	if slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == unbuffered && (e.Value != "" || e.ValueFrom != nil) }) {
		return nil
	}
	name, alone := buffering(c)
	if name == "" {
		return nil
	}
	s := Signal{Name: "buffered-stdout", Kind: Buffer, Confidence: Hint, Field: ".env", Seen: name + " without " + unbuffered,
		Instead: `write env: [{name: ` + unbuffered + `, value: "1"}]`}
	if alone {
		s.Field, s.Seen, s.Instead = ".command", name+" without -u", "write "+name+" -u; its options let it ignore "+unbuffered
	}
	return []Signal{s}
}

// Unbuffered is the variable that a container lacks whose Python keeps its output in a buffer. It is false for all others,
// and where the variable is there and empty on purpose, or would be ignored.
func Unbuffered(c *corev1.Container) (corev1.EnvVar, bool) {
	set := slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == unbuffered })
	name, alone := buffering(c)
	return corev1.EnvVar{Name: unbuffered, Value: "1"}, !set && name != "" && !alone
}

// buffering is the Python of a container that keeps what the container prints in a buffer, and whether it looks at no
// variable (-E, -I). What goes into a file or into another program that keeps it is data, and best written in blocks.
func buffering(c *corev1.Container) (name string, alone bool) {
	argv := slices.Concat(c.Command, c.Args)
	if !slices.ContainsFunc(argv, func(word string) bool { return strings.Contains(word, "py") }) || // most have none
		slices.ContainsFunc(argv, func(word string) bool { return strings.Contains(word, unbuffered) }) { // the script sets it, or unsets it
		return "", false
	}
	for _, command := range shell.Parse(argv) {
		name, args := command.Name(), command.Args()
		if python.MatchString(name) && buffers(args) && !writesData(command) {
			return name, isolated(args)
		}
	}
	return "", false
}

func writesData(c shell.Command) bool {
	return len(c.PipedInto) > 0 && !slices.Contains(printsOn, path.Base(c.PipedInto[0])) ||
		slices.ContainsFunc(c.Redirects, func(r shell.Redirect) bool { return !IsLog(r.Target) && !Standard(r.Target) })
}

// isolated says whether the interpreter's own options let it ignore its variables.
func isolated(args []string) bool {
	for _, arg := range args {
		option, is := strings.CutPrefix(arg, "-")
		if !is || strings.HasPrefix(option, "-") {
			return false
		}
		if before, _, _ := strings.Cut(option, "m"); strings.ContainsAny(before, "EI") {
			return true
		}
		if strings.ContainsAny(option, "mcWX") {
			return false
		}
	}
	return false
}

// buffers says whether the interpreter's own options, which end at the script, leave the buffer on. Without a script it
// only answers.
func buffers(args []string) bool {
	for i := 0; i < len(args); i++ {
		option, is := strings.CutPrefix(args[i], "-")
		if !is || option == "" {
			return true
		}
		if strings.HasPrefix(option, "-") {
			continue
		}
		for _, letter := range option {
			switch letter {
			case 'm', 'c':
				return true
			case 'u', 'V', 'h', '?':
				return false
			}
		}
		if strings.HasSuffix(option, "W") || strings.HasSuffix(option, "X") { // its value is the next word
			i++
		}
	}
	return false
}
