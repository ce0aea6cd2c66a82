package logs_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/logs"
)

// rewritten is a container with all that can be rewritten, as words: its command, args, and changed variables.
func rewritten(c *corev1.Container, asked bool) string {
	for _, s := range logs.Signals(&corev1.Pod{}, c) {
		if changed := logs.Rewritten(c, s, asked); changed != nil {
			c = changed
		}
	}
	words := []string{strings.Join(c.Command, " ") + " | " + strings.Join(c.Args, " ")}
	for _, e := range c.Env {
		words = append(words, e.Name+"="+e.Value)
	}
	return strings.Trim(strings.Join(words, " | "), " |")
}

func TestRewrittenFlags(t *testing.T) {
	for _, test := range []struct{ image, args, want string }{
		{"shop", "gunicorn --access-logfile /a.log --error-logfile=/b.log shop:app", "gunicorn --access-logfile - --error-logfile=- shop:app"},
		{"shop", "gunicorn --log-file=/a.log shop:app", "gunicorn --log-file=- shop:app"},
		{"shop", "app --log-file=/a.log", "app --log-file=/a.log"}, // only where asked
		{"redis", "--logfile /data/r.log --port 1", "--logfile  --port 1"},
		{"redis", "redis-server --daemonize yes --port 1", "redis-server --daemonize no --port 1"},
		{"redis", "redis-server --daemonize --port 1", "redis-server --daemonize --port 1"},
		{"redis", "--logfile=/data/r.log", "--logfile=/data/r.log"},
		{"mongo", "mongod --bind_ip_all --logpath /m.log --logappend", "mongod --bind_ip_all"},
		{"mongo", "--logpath=/m.log --auth", "--auth"},
		{"mongo", "--logpath=/m.log", "--logpath=/m.log"}, // no args would be the image's
		{"mongo", "mongod --fork --logpath /m.log", "mongod --fork --logpath /m.log"},
		{"mongo", "docker-entrypoint.sh mongod --logpath /m.log --auth", "docker-entrypoint.sh mongod --auth"},
		{"mongo", "docker-entrypoint.sh --logpath /m.log --auth", "docker-entrypoint.sh --auth"},
		{"shop", "app --logpath /m.log", "app --logpath /m.log"},
		{"shop", "uwsgi --http :80 --logto /u.log --master", "uwsgi --http :80 --master"},
		{"shop", "uwsgi --logto2=/u.log --master", "uwsgi --master"},
		{"shop", "uwsgi --daemonize /u.log", "uwsgi --daemonize /u.log"},
		{"controller", "-logtostderr=false -log_dir=/logs --v=2", "-logtostderr=true -log_dir=/logs --v=2"},
		{"postgres", "postgres -c logging_collector=on -clogging_collector=1 --logging-collector=yes", "postgres -c logging_collector=off -clogging_collector=off --logging-collector=off"},
		{"shop", "java -Xlog:gc*:file=/g.log:time,level:filecount=5 -Xloggc:/o.log -jar a.jar --logging.file.name=/a.log --logging.threshold.console=off",
			"java -Xlog:gc*:stdout:time,level -Xloggc:/dev/stdout -jar a.jar --logging.file.name= --logging.threshold.console=TRACE"},
		{"mysql", "--slow-query-log-file=/s.log", "--slow-query-log-file=/s.log"}, // it becomes another user first
		{"shop", "celery worker --logfile=/c.log", "celery worker --logfile=/c.log"},
		{"controller", "-alsologtostderr -logtostderr=false -log_dir=/logs", "-alsologtostderr -logtostderr=false -log_dir=/logs"},
	} {
		words := strings.Fields(test.args)
		c := &corev1.Container{Image: test.image, Args: words}
		if got := rewritten(c.DeepCopy(), false); got != test.want {
			t.Errorf("%s: %s: %q, want %q", test.image, test.args, got, test.want)
		}
		// The agent's exec before it, and a command of one word, change nothing about it.
		c = &corev1.Container{Image: test.image, Command: append([]string{"/twelvefold/bin/twelvefold-agent", "exec", "--"}, words[0]), Args: words[1:]}
		want := "/twelvefold/bin/twelvefold-agent exec -- " + test.want
		if got := strings.ReplaceAll(rewritten(c, false), " | ", " "); !strings.HasPrefix(words[0], "-") && got != want {
			t.Errorf("%s: %s by the agent: %q, want %q", test.image, test.args, got, want)
		}
	}
}

func TestRewrittenWhereAsked(t *testing.T) {
	for args, want := range map[string]string{
		"app --log-file=/a.log":          "app --log-file=/dev/stdout",
		"celery worker --logfile /c.log": "celery worker --logfile /dev/stdout",
	} {
		if got := rewritten(&corev1.Container{Command: strings.Fields(args)}, true); got != want {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
}

func TestRewrittenEnv(t *testing.T) {
	for _, test := range []struct{ env, want string }{
		{"UWSGI_LOGTO=/u.log", "UWSGI_LOGTO=/dev/stdout"},
		{"UWSGI_LOGTO2=/u.log", "UWSGI_LOGTO2=/u.log"},
		{"UWSGI_DAEMONIZE=/u.log", "UWSGI_DAEMONIZE=/u.log"},
		{"LOGGING_THRESHOLD_CONSOLE=OFF LOGGING_FILE_NAME=/a.log", "LOGGING_THRESHOLD_CONSOLE=TRACE | LOGGING_FILE_NAME="},
		{"LOGGING_FILE_PATH=/logs", "LOGGING_FILE_PATH="},
		{"CATALINA_OUT=/c.out", "CATALINA_OUT=/dev/stdout"},
		{"Serilog__WriteTo__0__Name=File", "Serilog__WriteTo__0__Name=File"},
		{"Serilog__WriteTo__0__Name=File Serilog__Using__0=Serilog.Sinks.Console", "Serilog__WriteTo__0__Name=Console | Serilog__Using__0=Serilog.Sinks.Console"},
		{"OPTS=-Xlog:gc:/g.log", "OPTS=-Xlog:gc:stdout"},
		{`OPTS=-Xlog:gc:file="/g.log"`, `OPTS=-Xlog:gc:file="/g.log"`},
	} {
		c := &corev1.Container{}
		for _, e := range strings.Fields(test.env) {
			name, value, _ := strings.Cut(e, "=")
			c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
		}
		if got := rewritten(c, false); got != test.want {
			t.Errorf("%s: %q, want %q", test.env, got, test.want)
		}
	}
	c := &corev1.Container{Env: []corev1.EnvVar{{Name: "JAVA_OPTS", Value: "-Xmx1g  -Xlog:gc*:file=/g.log:time\t-Xloggc:/o.log\n-Dx=é "}}}
	if got, want := rewritten(c, false), "JAVA_OPTS=-Xmx1g  -Xlog:gc*:stdout:time\t-Xloggc:/dev/stdout\n-Dx=é "; got != strings.Trim(want, " |") {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestRewrittenScripts(t *testing.T) {
	for script, want := range map[string]string{
		`exec app >> /var/log/app.log 2>&1`:                 `exec app 2>&1`,
		`app > /logs/a.log; grep x /logs/a.log`:             ``, // needs the file
		`cd /logs; app > /logs/a.log & tail -f a.log`:       ``,
		`app > /logs/a.log 2> /logs/b.log`:                  `app`,
		`uwsgi --logto /u.log`:                              ``, // flags in scripts stay
		`app | tee /logs/a.log`:                             ``,
		`a >> /logs/a.log; b >> /logs/a.log`:                `a; b`,
		`: > /logs/a.log; app >> /logs/a.log`:               ``,
		`exec java -jar a.jar > "/logs/$HOSTNAME.log" 2>&1`: `exec java -jar a.jar 2>&1`,
	} {
		c := &corev1.Container{Command: []string{"sh", "-c"}, Args: []string{script}}
		if want == "" {
			want = script
		}
		if got := rewritten(c, true); got != "sh -c | "+want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
}

func TestUnbuffered(t *testing.T) {
	for command, want := range map[string]bool{
		"python app.py": true, "python3.13 -m http.server": true, "/usr/bin/python3 -B -c x": true, "python -X utf8 app.py -u": true,
		"python -u app.py": false, "python3 -Bu app.py": false, "python -X utf8 -u app.py": false, "python --version": false, "python -V": false,
		"gunicorn app": false, "pythonic x": false,
	} {
		if _, lacks := logs.Unbuffered(&corev1.Container{Command: strings.Fields(command)}); lacks != want {
			t.Errorf("%s: %v", command, lacks)
		}
	}
	for _, value := range []string{"", "1"} {
		c := &corev1.Container{Command: []string{"python", "a.py"}, Env: []corev1.EnvVar{{Name: "PYTHONUNBUFFERED", Value: value}}}
		if _, lacks := logs.Unbuffered(c); lacks {
			t.Errorf("%q is set, and would be set again", value)
		}
	}
}

// A rewrite changes words and values, and nothing else; the container it is given stays as it is.
func FuzzRewritten(f *testing.F) {
	for _, s := range []string{"exec app > /l.log", "--logpath x --logappend", "-Xlog:a:b", "--logfile", "--daemonize=", "uwsgi --logto a --logto b", "-Xloggc:a -Xlog:", "--logto=/a -u"} {
		f.Add(s, "redis", true)
	}
	f.Fuzz(func(t *testing.T, text, image string, asked bool) {
		for _, c := range []corev1.Container{
			{Command: []string{"sh", "-c", text}, Image: image},
			{Args: strings.Fields(text), Image: image},
			{Command: strings.Fields(text), Args: strings.Fields(text), Env: []corev1.EnvVar{{Name: "CATALINA_OUT", Value: text}, {Name: "OPTS", Value: text}}},
		} {
			before := c.DeepCopy()
			for _, s := range logs.Signals(&corev1.Pod{}, &c) {
				changed := logs.Rewritten(&c, s, asked)
				if diff := cmp.Diff(before, &c); diff != "" {
					t.Fatalf("the container changed: %s", diff)
				}
				if changed == nil {
					continue
				}
				if slices.Contains(logs.Signals(&corev1.Pod{}, changed), s) {
					t.Errorf("%+v is still there", s)
				}
				changed.Command, changed.Args, changed.Env = c.Command, c.Args, c.Env
				if diff := cmp.Diff(&c, changed); diff != "" {
					t.Errorf("more than words changed: %s", diff)
				}
			}
		}
	})
}
