package logs

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/shell"
)

// Rewritten is the container with its own option or script changed so that the signal is gone and its log goes to stdout
// or stderr. It is nil where no such change is certain to work. asked is somebody's word that the program can open
// /dev/stdout as a file, which is not certain of every program.
func Rewritten(c *corev1.Container, s Signal, asked bool) *corev1.Container {
	changed := c.DeepCopy()
	switch {
	case s.Kind == Volume, s.Kind == Buffer: // for the latter see [Unbuffered]
		return nil
	case s.Kind == Redirect:
		rewriteRedirect(changed, s)
	case strings.HasPrefix(s.Field, ".env"):
		rewriteEnv(changed, s, asked)
	default:
		rewriteFlag(changed, s, asked)
	}
	if slices.Contains(ownSignals(changed), s) || emptied(c.Command, changed.Command) || emptied(c.Args, changed.Args) {
		return nil
	}
	return changed
}

// emptied says whether a list has lost all words: the image's would be taken instead.
func emptied(before, after []string) bool { return len(before) > 0 && len(after) == 0 }

// rewriteRedirect leaves the redirection out. A script that names the file once more needs it.
func rewriteRedirect(c *corev1.Container, s Signal) {
	file := ""
	argv, ok := shell.WithoutRedirects(slices.Concat(c.Command, c.Args), func(r shell.Redirect) bool {
		is := r.Operator+" "+r.Target == s.Seen
		if is {
			file = r.Target
		}
		return is
	})
	if name := path.Base(file); ok && !slices.ContainsFunc(argv, func(word string) bool {
		return strings.Contains(word, file) || path.Ext(name) != "" && strings.Contains(word, name)
	}) {
		setArgv(c, argv)
	}
}

// setArgv puts as many words as before back to where they were.
func setArgv(c *corev1.Container, argv []string) {
	copy(c.Command, argv)
	copy(c.Args, argv[len(c.Command):])
}

func rewriteEnv(c *corev1.Container, s Signal, asked bool) {
	for i := range c.Env {
		e := &c.Env[i]
		if e.ValueFrom != nil || s.Field != envField(e.Name) {
			continue
		}
		switch s.Name {
		case "uwsgi-logto":
			if e.Name == "UWSGI_LOGTO" || asked { // LOGTO2 opens it as another user, who may not
				e.Value = "/dev/stdout"
			}
		case "spring-console-off":
			e.Value = "TRACE" // Spring Boot's own default
		case "spring-file":
			e.Value = ""
		case "catalina-out":
			e.Value = "/dev/stdout"
		case "serilog-file":
			if asked || loadsSerilogConsole(c) {
				e.Value = "Console"
			}
		case "jvm-log":
			e.Value = rewriteJava(e.Value)
		}
	}
}

// loadsSerilogConsole says whether the configuration loads the sink's assembly: without it there would be no log at all.
func loadsSerilogConsole(c *corev1.Container) bool {
	return slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool {
		return strings.HasPrefix(e.Name, "Serilog__Using__") && e.Value == "Serilog.Sinks.Console"
	})
}

// rewriteJava lets the JVM's log options in a text write to stdout; all other words stay as they are.
func rewriteJava(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		end := strings.IndexAny(text, " \t\n")
		if end < 0 {
			end = len(text)
		}
		b.WriteString(javaToStdout(text[:end]))
		text = text[end:]
		blank := len(text) - len(strings.TrimLeft(text, " \t\n"))
		b.WriteString(text[:blank])
		text = text[blank:]
	}
	return b.String()
}

// javaToStdout is one of the JVM's log options without its file: -Xlog:gc*:file=/gc.log:time:filecount=5 becomes
// -Xlog:gc*:stdout:time. Java 8 knows no other name of stdout than the file's.
func javaToStdout(word string) string {
	if strings.ContainsAny(word, `"'\`) || len(javaSignals([]string{word})) == 0 {
		return word
	}
	if strings.HasPrefix(word, "-Xloggc:") {
		return "-Xloggc:/dev/stdout"
	}
	parts := strings.Split(word, ":") // -Xlog, what, output, decorators, options of the output
	parts[2] = "stdout"
	return strings.Join(parts[:min(len(parts), 4)], ":")
}
