package logs

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/shell"
)

// rewriteFlag changes or removes the signal's option of an argument vector. Those in scripts stay.
func rewriteFlag(c *corev1.Container, s Signal, asked bool) {
	argv := slices.Concat(c.Command, c.Args)
	commands := shell.Parse(argv)
	if len(commands) != 1 || commands[0].InScript {
		return
	}
	program, args := programOf(commands[0], program(c))
	offset := len(argv) - len(args)
	for i, word := range args {
		if word == s.Seen && s.Name == "jvm-log" {
			*wordAt(c, offset+i) = javaToStdout(word)
		}
		if word == s.Seen && s.Name == "postgres-collector" {
			name, _, _ := strings.Cut(word, "=")
			*wordAt(c, offset+i) = name + "=off"
		}
	}
	flags := flagsOf(args)
	for _, f := range flags {
		found, ok := f.signal(program, flags)
		if !ok || found.Name != s.Name || f.seen(found.Path) != s.Seen {
			continue
		}
		if e, ok := editOf(f, program, flags, asked); ok {
			e.apply(c, offset+f.at, f)
			return
		}
	}
}

// wordAt is a word of what the container runs.
func wordAt(c *corev1.Container, i int) *string {
	if i < len(c.Command) {
		return &c.Command[i]
	}
	return &c.Args[i-len(c.Command)]
}

// flagEdit is what becomes of a flag.
type flagEdit struct {
	value  string
	remove bool
	with   string // a flag that goes with one that is removed
}

// editOf is how a flag's log goes to stdout, where that is known.
func editOf(f flag, program string, all []flag, asked bool) (flagEdit, bool) {
	switch f.name {
	case "daemonize":
		return flagEdit{value: "no"}, isRedis(program) && slices.Contains([]string{"yes", "true", "1"}, f.value)
	case "logtostderr":
		return flagEdit{value: "true"}, f.attached()
	case "logpath":
		_, needs := either(all, "fork", "logRotate")
		return flagEdit{remove: true, with: "logappend"}, strings.HasPrefix(program, "mongo") && !needs
	case "logfile":
		if isRedis(program) {
			return flagEdit{value: ""}, !f.attached()
		}
		return flagEdit{value: "/dev/stdout"}, asked
	case "logto", "logto2":
		return flagEdit{remove: true}, true
	case "log-file":
		if program == "gunicorn" {
			return flagEdit{value: "-"}, true
		}
		return flagEdit{value: "/dev/stdout"}, asked
	case "access-logfile", "error-logfile":
		return flagEdit{value: "-"}, true
	case "logging.threshold.console", "Dlogging.threshold.console":
		return flagEdit{value: "TRACE"}, f.attached()
	case "logging.file.name", "Dlogging.file.name":
		return flagEdit{value: ""}, f.attached()
	}
	return flagEdit{}, false
}

// apply edits the flag at a place of the argument vector.
func (e flagEdit) apply(c *corev1.Container, i int, f flag) {
	name, _, _ := strings.Cut(f.word, "=")
	switch {
	case e.remove:
		e.drop(c, i, f)
	case f.attached():
		*wordAt(c, i) = name + "=" + e.value
	default:
		*wordAt(c, i+1) = e.value // it is a signal, so there is a value
	}
}

func (e flagEdit) drop(c *corev1.Container, i int, f flag) {
	argv := slices.Concat(c.Command, c.Args)
	drop := make([]bool, len(argv))
	for j, word := range argv {
		value := j == i+1 && !f.attached()
		drop[j] = j == i || value || e.with != "" && strings.TrimLeft(word, "-") == e.with && strings.HasPrefix(word, "-")
	}
	n := len(c.Command)
	c.Command, c.Args = kept(c.Command, drop[:n]), kept(c.Args, drop[n:])
}

func kept(words []string, drop []bool) (left []string) {
	for i, w := range words {
		if !drop[i] {
			left = append(left, w)
		}
	}
	return left
}
