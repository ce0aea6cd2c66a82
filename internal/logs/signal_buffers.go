package logs

import (
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/shell"
)

// unbuffered is the variable that lets Python write each line as it is printed.
const unbuffered = "PYTHONUNBUFFERED"

var python = regexp.MustCompile(`^(python|pypy)[0-9.]*$`)

// bufferSignals is Python that keeps what it prints to a pipe in a buffer of some KiB.
func bufferSignals(c *corev1.Container) []Signal {
	if slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == unbuffered && (e.Value != "" || e.ValueFrom != nil) }) {
		return nil
	}
	argv := slices.Concat(c.Command, c.Args)
	if !slices.ContainsFunc(argv, func(word string) bool { return strings.Contains(word, "py") }) { // most have none
		return nil
	}
	for _, command := range shell.Parse(argv) {
		if name := command.Name(); python.MatchString(name) && buffers(command.Args()) {
			return []Signal{{Name: "buffered-stdout", Kind: Buffer, Confidence: Hint, Field: ".env", Seen: name + " without " + unbuffered,
				Instead: `write env: [{name: ` + unbuffered + `, value: "1"}]`}}
		}
	}
	return nil
}

// Unbuffered is the variable that a container lacks whose Python keeps its output in a buffer. It is false for all others,
// and where the variable is there and empty on purpose.
func Unbuffered(c *corev1.Container) (corev1.EnvVar, bool) {
	empty := slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == unbuffered })
	return corev1.EnvVar{Name: unbuffered, Value: "1"}, !empty && len(bufferSignals(c)) > 0
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
