package logs

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/image"
)

// RepairAnnotation asks for a repair of a pod's logs, or for none: off, rewrite, link, stream.
const RepairAnnotation = "twelvefold.dev/log-repair"

// Confidence says how sure a [Signal] is.
type Confidence int

const (
	Hint    Confidence = iota + 1 // logs may go to a file too
	Likely                        // logs go to a file unless the image knows better
	Certain                       // logs go to a file
)

// Kind is the part of a spec that sends logs to a file. Each signal is of one kind, so that no two rules report it.
type Kind int

const (
	Option   Kind = iota // an environment variable or a flag
	Redirect             // the shell
	Volume               // a mount at a log directory
	Buffer               // lines that wait in the program and are lost with it
)

// SignalNames are the sorts of signals, as policies name them.
var SignalNames = []string{"buffered-stdout", "catalina-out", "daemonize", "gunicorn-logfile", "hidden-links", "host-logs", "jvm-log", "klog-also", "klog-file",
	"log-directory", "log-file-flag", "mongo-logpath", "mysql-slow-log", "postgres-collector", "redirect", "redis-logfile", "serilog-file",
	"spring-console-off", "spring-file", "tee", "uwsgi-daemonize", "uwsgi-logto"}

// Signal is a place in a container's spec by which logs go elsewhere than to stdout.
type Signal struct {
	Name       string // of its sort, for policies: uwsgi-logto
	Kind       Kind
	Confidence Confidence
	Field      string // of the container: .env[name="UWSGI_LOGTO"], .args
	Seen       string // what stands there: UWSGI_LOGTO=/var/log/uwsgi.log
	Path       string // the file, or DIR/* for any in it; of a volume, its mount path; empty if the spec doesn't tell
	Instead    string // what to write
	HostPath   string // of a volume: the node's directory; empty for all other volumes
}

// Signals are those of a container of the pod, in the order options, redirects, volumes. It is pure, and knows nothing
// of what is streamed: see [Streamed].
func Signals(pod *corev1.Pod, c *corev1.Container) []Signal {
	return append(ownSignals(c), volumeSignals(pod, c)...)
}

// ownSignals are those that the container's spec alone tells.
func ownSignals(c *corev1.Container) []Signal {
	signals := append(envSignals(c), commandSignals(c)...)
	return append(signals, bufferSignals(c)...)
}

// Streams says whether one of the streamed paths covers the signal: its file, or a file in its volume. A signal
// without a path is covered by any.
func (s Signal) Streams(paths []string) bool {
	for _, p := range paths {
		dir, base := path.Split(p)
		switch s.Kind {
		case Buffer:
			return false
		case Volume:
			if s.Path == "/" || strings.HasPrefix(p, strings.TrimSuffix(s.Path, "/")+"/") {
				return true
			}
		default:
			name := path.Base(s.Path)
			matches, _ := path.Match(base, name)
			if s.Path == "" || path.Clean(dir) == path.Dir(s.Path) && (matches || name == "*") {
				return true
			}
		}
	}
	return false
}

// Standard says whether a log "file" is none: stdout, stderr, a descriptor, or nothing at all.
func Standard(file string) bool {
	switch file {
	case "", "-", "stdout", "stderr", "/dev/null", "/dev/tty", "/dev/console", "/dev/stdout", "/dev/stderr":
		return true
	}
	return strings.HasPrefix(file, "/dev/fd/") || descriptor.MatchString(file)
}

var descriptor = regexp.MustCompile(`^/proc/[^/]+/fd/`)

// envSignals are the settings in environment variables. What comes from elsewhere than the spec isn't known.
func envSignals(c *corev1.Container) []Signal {
	var signals []Signal
	for _, e := range c.Env {
		if e.ValueFrom != nil || Standard(e.Value) {
			continue
		}
		add := func(s Signal) {
			s.Field, s.Seen = envField(e.Name), e.Name+"="+e.Value
			signals = append(signals, s)
		}
		switch name := e.Name; {
		case name == "UWSGI_LOGTO" || name == "UWSGI_LOGTO2":
			add(Signal{Name: "uwsgi-logto", Confidence: Certain, Path: absolute(e.Value), Instead: "remove " + name + ": uWSGI logs to stderr by itself"})
		case name == "UWSGI_DAEMONIZE":
			add(Signal{Name: "uwsgi-daemonize", Confidence: Certain, Path: absolute(e.Value), Instead: "remove " + name + ": run uWSGI in the foreground"})
		case name == "LOGGING_THRESHOLD_CONSOLE" && strings.EqualFold(e.Value, "off"):
			add(Signal{Name: "spring-console-off", Confidence: Certain, Instead: "remove " + name + ", and LOGGING_FILE_NAME with it"})
		case strings.HasPrefix(name, "Serilog__WriteTo__") && strings.HasSuffix(name, "__Name") && (e.Value == "File" || e.Value == "RollingFile"):
			file := envValue(c, strings.TrimSuffix(name, "Name")+"Args__path")
			if file == "" || !Standard(file) {
				add(Signal{Name: "serilog-file", Confidence: Likely, Path: absolute(file), Instead: "write " + name + "=Console"})
			}
		case name == "CATALINA_OUT":
			add(Signal{Name: "catalina-out", Confidence: Likely, Path: absolute(e.Value), Instead: "write CATALINA_OUT=/dev/stdout, or start with catalina.sh run"})
		case name == "MSSQL_MASTER_LOG_FILE": // the transactions of SQL Server's master database: data
		case (strings.HasSuffix(name, "LOG_FILE") || strings.HasSuffix(name, "LOGFILE") || name == "RABBITMQ_LOGS") && (path.IsAbs(e.Value) || IsLog(e.Value)):
			add(Signal{Name: "log-file-flag", Confidence: Likely, Path: absolute(e.Value), Instead: "remove " + name + ", or write /dev/stdout"})
		case name == "LOGGING_FILE_NAME" || name == "LOGGING_FILE_PATH":
			file := e.Value
			if name == "LOGGING_FILE_PATH" {
				file += "/spring.log"
			}
			add(Signal{Name: "spring-file", Confidence: Hint, Path: absolute(file), Instead: "remove " + name + ": Spring Boot logs to the console by itself"})
		default:
			for _, s := range javaSignals(strings.Fields(e.Value)) {
				s.Field, s.Seen = envField(name), s.Seen+" in "+name
				signals = append(signals, s)
			}
		}
	}
	return signals
}

func envField(name string) string { return fmt.Sprintf(".env[name=%q]", name) }

func envValue(c *corev1.Container, name string) string {
	for _, e := range c.Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

// absolute is the path if the spec alone tells where it is.
func absolute(file string) string {
	if path.IsAbs(file) && !strings.Contains(file, "$") {
		return path.Clean(file)
	}
	return ""
}

// collectors are images whose job is other containers' logs, by the last segment of their name.
var collectors = []string{"fluent-bit", "fluentbit", "fluentd", "td-agent", "filebeat", "elastic-agent", "vector", "promtail", "alloy",
	"grafana-agent", "logstash", "opentelemetry-collector", "otelcol", "otel-collector", "rsyslog", "syslog-ng", "telegraf", "splunk",
	"sumologic", "newrelic-fluentbit", "ama-logs", "azuremonitor", "datadog", "node-problem-detector", "logging-operator", "ciprod"}

// Collector says whether the container's image is a log collector: it may hold log directories.
func Collector(c *corev1.Container) bool {
	ref, err := image.Parse(c.Image)
	if err != nil {
		return false
	}
	for _, name := range collectors {
		if strings.HasPrefix(ref.Base(), name) {
			return true
		}
	}
	return strings.HasSuffix(ref.Base(), "agent") && (strings.Contains(ref.Repository, "datadog") || strings.Contains(ref.Registry, "datadog")) // its cluster-agent too
}

// program is the last segment of the image's name: redis for bitnami/redis:7.
func program(c *corev1.Container) string {
	ref, err := image.Parse(c.Image)
	if err != nil {
		return ""
	}
	return ref.Base()
}
