package logs

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/shell"
)

// commandSignals are the flags of the commands that a container starts, and where its shell sends their output.
func commandSignals(c *corev1.Container) []Signal {
	var signals []Signal
	for _, command := range shell.Parse(slices.Concat(c.Command, c.Args)) {
		found := append(flagSignals(command, program(c)), redirectSignals(command)...)
		for _, s := range found {
			s.Field = argvField(c, s.Seen)
			if !slices.Contains(signals, s) { // { a; b; } > log
				signals = append(signals, s)
			}
		}
	}
	return signals
}

// argvField is the field that holds what was seen, or rather its last word.
func argvField(c *corev1.Container, seen string) string {
	word := seen[strings.LastIndex(seen, " ")+1:]
	inCommand := slices.ContainsFunc(c.Command, func(w string) bool { return strings.Contains(w, word) })
	if inCommand || len(c.Args) == 0 {
		return ".command"
	}
	return ".args"
}

// flag is an option of a command line: --name=value, or --name value.
type flag struct {
	name, value string
	word        string // as written
	at          int    // its place among the words
}

// attached says whether the value stands in the same word.
func (f flag) attached() bool { return strings.Contains(f.word, "=") }

// flagsOf reads options. The name has no dashes, and dashes for its underscores. A value is the next word where none is
// attached; whether it is one is for the reader to know.
func flagsOf(words []string) []flag {
	var flags []flag
	for i, word := range words {
		if !strings.HasPrefix(word, "-") {
			continue
		}
		name, value, attached := strings.Cut(word, "=")
		if !attached && i+1 < len(words) {
			value = words[i+1]
		}
		flags = append(flags, flag{strings.ReplaceAll(strings.TrimLeft(name, "-"), "_", "-"), value, word, i})
	}
	return flags
}

// seen is the flag as a message may show it. The next word is shown only where it is surely the file's name: behind a
// flag without a value may stand anything, a password too.
func (f flag) seen(file string) string {
	if file == "" || absolute(f.value) != file || f.attached() {
		return f.word
	}
	return f.word + " " + f.value
}

// readers take the name of a log file to read it.
var readers = []string{"goaccess", "grok_exporter", "lnav", "logrotate"}

// programOf is what a command runs, and the words for it. Where only args are given, or behind the entrypoint script of
// an image, the image has the program.
func programOf(command shell.Command, image string) (program string, args []string) {
	words := command.Words
	if strings.HasSuffix(command.Name(), "entrypoint.sh") {
		words = command.Args()
	}
	if len(words) == 0 || strings.HasPrefix(words[0], "-") {
		return image, words
	}
	return path.Base(words[0]), words[1:]
}

func flagSignals(command shell.Command, program string) []Signal {
	program, args := programOf(command, program)
	if slices.Contains(readers, program) {
		return nil
	}
	flags := flagsOf(args)
	signals := javaSignals(args)
	for _, f := range flags {
		if s, ok := f.signal(program, flags); ok {
			s.Seen = f.seen(s.Path)
			signals = append(signals, s)
		}
	}
	return append(signals, postgresSignals(args)...)
}

func (f flag) signal(program string, all []flag) (Signal, bool) {
	file := absolute(f.value)
	switch f.name {
	case "daemonize", "daemonize2":
		if f.value == "no" || f.value == "false" || f.value == "0" {
			return Signal{}, false
		}
		return Signal{Name: "daemonize", Confidence: Certain, Path: file, Instead: "remove it: run in the foreground, which logs to stdout"}, true
	case "logtostderr":
		if target, found := logTarget(all); found && f.value == "false" {
			if also, set := either(all, "alsologtostderr"); set && also != "false" {
				return Signal{}, false // the hint below
			}
			return Signal{Name: "klog-file", Confidence: Certain, Path: target, Instead: "remove it, and --log_dir and --log_file with it"}, true
		}
	case "alsologtostderr":
		if target, found := logTarget(all); found && f.value != "false" {
			return Signal{Name: "klog-also", Confidence: Hint, Path: target, Instead: "write --logtostderr=true"}, true
		}
	}
	if Standard(f.value) || strings.HasPrefix(f.value, "-") {
		return Signal{}, false
	}
	switch f.name {
	case "logpath":
		return Signal{Name: "mongo-logpath", Confidence: Certain, Path: file, Instead: "remove it: mongod logs to stdout by itself"}, true
	case "logfile":
		if isRedis(program) {
			return Signal{Name: "redis-logfile", Confidence: Certain, Path: file, Instead: "remove it: Redis logs to stdout by itself"}, true
		}
		return Signal{Name: "log-file-flag", Confidence: Likely, Path: file, Instead: "remove it, or name /dev/stdout"}, true
	case "logto", "logto2":
		return Signal{Name: "uwsgi-logto", Confidence: Certain, Path: file, Instead: "remove it: uWSGI logs to stderr by itself"}, true
	case "log-file":
		_, also := either(all, "alsologtostderr")
		if to, set := either(all, "logtostderr"); also || set && to == "false" {
			return Signal{}, false // said above
		}
		return Signal{Name: "log-file-flag", Confidence: Likely, Path: file, Instead: "remove it, or name /dev/stdout"}, true
	case "log.file", "log.filePath", "accesslog.filepath", "log-path", "log-error", "general-log-file", "redirect-stdout":
		if file != "" || IsLog(f.value) { // the same names stand before other things
			return Signal{Name: "log-file-flag", Confidence: Likely, Path: file, Instead: "remove it, or name /dev/stdout"}, true
		}
	case "access-logfile", "error-logfile":
		return Signal{Name: "gunicorn-logfile", Confidence: Likely, Path: file, Instead: "write --" + f.name + "=-"}, true
	case "slow-query-log-file":
		return Signal{Name: "mysql-slow-log", Confidence: Likely, Path: file, Instead: "write --log-output=TABLE and query the slow log"}, true
	case "logging.threshold.console", "Dlogging.threshold.console":
		if strings.EqualFold(f.value, "off") {
			return Signal{Name: "spring-console-off", Confidence: Certain, Instead: "remove it, and logging.file.name with it"}, true
		}
	case "logging.file.name", "Dlogging.file.name":
		return Signal{Name: "spring-file", Confidence: Hint, Path: file, Instead: "remove it: Spring Boot logs to the console by itself"}, true
	}
	return Signal{}, false
}

func either(flags []flag, names ...string) (value string, found bool) {
	for _, f := range flags {
		if slices.Contains(names, f.name) {
			return f.value, true
		}
	}
	return "", false
}

// logTarget is where klog writes, and whether it does: a file, or all files of a directory.
func logTarget(flags []flag) (target string, found bool) {
	if file, set := either(flags, "log-file"); set && !Standard(file) {
		return absolute(file), true
	}
	dir, set := either(flags, "log-dir")
	if !set || Standard(dir) {
		return "", false
	}
	if dir = absolute(dir); dir == "" {
		return "", true
	}
	return path.Join(dir, "*"), true
}

func isRedis(program string) bool {
	return strings.HasPrefix(program, "redis") || strings.HasPrefix(program, "valkey") || strings.HasPrefix(program, "keydb")
}

// postgresSignals find the setting in all spellings of postgres: -c NAME=on, -cNAME=on, --NAME=on, with - for _.
func postgresSignals(args []string) []Signal {
	var signals []Signal
	for _, word := range args {
		name, value, _ := strings.Cut(strings.ReplaceAll(strings.TrimLeft(word, "-"), "-", "_"), "=")
		if (name == "logging_collector" || name == "clogging_collector") && slices.Contains([]string{"on", "true", "yes", "1"}, value) {
			signals = append(signals, Signal{Name: "postgres-collector", Confidence: Certain, Seen: word,
				Instead: "write logging_collector=off: postgres then logs to stderr"})
		}
	}
	return signals
}

// javaSignals are the JVM's own log options among some words: -Xlog:gc*:file=/logs/gc.log:time, -Xloggc:/logs/gc.log.
func javaSignals(words []string) []Signal {
	var signals []Signal
	for _, word := range words {
		file := ""
		if rest, ok := strings.CutPrefix(word, "-Xloggc:"); ok {
			file = rest
		} else if rest, ok := strings.CutPrefix(word, "-Xlog:"); ok {
			if parts := strings.Split(rest, ":"); len(parts) > 1 {
				file = strings.Trim(strings.TrimPrefix(parts[1], "file="), `"'`)
			}
		}
		if !Standard(file) {
			signals = append(signals, Signal{Name: "jvm-log", Confidence: Likely, Seen: word, Path: absolute(file),
				Instead: "write -Xlog:gc*:stdout"})
		}
	}
	return signals
}
