package shell_test

import (
	"os"
	"os/exec"
	"testing"

	"twelvefold.dev/internal/shell"
)

func TestWithExec(t *testing.T) {
	for script, want := range map[string]string{
		"cd /app && node server.js":                                        "cd /app && exec node server.js",
		"set -e\nmkdir -p /tmp/a\n./app --x  # y":                          "set -e\nmkdir -p /tmp/a\nexec ./app --x  # y",
		"echo a; ./app 2>&1":                                               "echo a; exec ./app 2>&1",
		"mkdir -p a && cd a && /c \"$X\"":                                  "mkdir -p a && cd a && exec /c \"$X\"",
		"echo é; app":                                                      "echo é; exec app",
		"if [ -f a ]; then rm a; fi; c":                                    "if [ -f a ]; then rm a; fi; exec c",
		"cd /app && \\\n  ./app \\\n  --x; # y\n":                          "cd /app && \\\n  exec ./app \\\n  --x; # y\n",
		"cat > a <<E\n$X\nE\n./app":                                        "cat > a <<E\n$X\nE\nexec ./app",
		"rm -f b || true; > log ./app $(cat a)":                            "rm -f b || true; > log exec ./app $(cat a)",
		"until nc -z db 5432; do sleep 1; done; c":                         "until nc -z db 5432; do sleep 1; done; exec c",
		"while true; do nc -z db 1 && break; sleep 1; done; c":             "while true; do nc -z db 1 && break; sleep 1; done; exec c",
		"A=b python manage.py migrate && gunicorn a":                       "A=b python manage.py migrate && exec gunicorn a",
		"bundle exec rails db:migrate; rails s":                            "bundle exec rails db:migrate; exec rails s",
		"npm ci && npm run build && npm start":                             "npm ci && npm run build && exec npm start",
		"./scripts/wait-for-db.sh; sh setup.sh; ./app init && ./app serve": "./scripts/wait-for-db.sh; sh setup.sh; ./app init && exec ./app serve",
		"timeout 30 ./other; ./app":                                        "timeout 30 ./other; exec ./app",

		// The shell would stay in front of what comes first.
		"./server; ./clean":                          "",
		"./server config.yaml && ./clean":            "",
		"node server.js; rm -f a; ./report":          "",
		"./config-server; ./app":                     "",
		"tail -f log; ./app":                         "",
		"sh -c 'a; b'; ./app":                        "",
		"while true; do sync; sleep 60; done; ./app": "",
		"npm run start:api; ./app":                   "",

		// What exec can't start, or what would not work in the shell's place.
		"cd /a; nvm exec node a.js":   "",
		"cd /a; conda run python a":   "",
		"cd /a; xvfb-run ./app":       "",
		"cd /a; \\cd b":               "",
		"cd /a; chdir b":              "",
		"cd /a; ./app <<E\nb\nE":      "",
		"cd /a; ./app <<< b":          "",
		"cd /a; ./app > >(tee log)":   "",
		"cd /a; time ./app":           "",
		"builtin . ./env.sh; ./app":   "",
		"cd /a; ./app | cat; true":    "",
		"cd /a; (./app)":              "",
		"cd /a; if b; then ./app; fi": "",

		"./app || echo failed":     "",
		"./app | tee log":          "",
		"./app &":                  "",
		"./other & ./app":          "",
		"! ./app":                  "",
		". ./env.sh; run":          "",
		"run() { ./app; }; run":    "",
		"trap : TERM; ./app":       "",
		"a; exec ./app":            "",
		"a; eval b":                "",
		"a; cd /":                  "",
		"a; $APP":                  "",
		"A=b ./app":                "",
		"{ a; b; } > x":            "",
		"while true; do ./a; done": "",
		"./app; exit 1":            "",
		"a; (b)":                   "",
		"":                         "",
		"a; b '":                   "",
	} {
		got, ok := shell.WithExec([]string{"bash", "-ec", script, "arg"})
		if ok != (want != "") || ok && (got[2] != want || got[3] != "arg") {
			t.Errorf("%q becomes %q", script, got)
		}
		if ok && shell.SwallowsSignals(got) {
			t.Errorf("%q still swallows signals", got)
		}
	}
	for _, argv := range [][]string{nil, {"./app"}, {"sh", "script.sh"}, {"sh", "-c"},
		{"bash", "-lc", "cd /a; ./app"}, {"bash", "--login", "-c", "cd /a; ./app"}, {"bash", "-i", "-c", "cd /a; ./app"}, {"rbash", "-c", "pwd; app"},
		{"bash", "-o", "pipefail", "-rc", "pwd; app"}, {"zsh", "-c", "cd /a; ./app"}} {
		if got, ok := shell.WithExec(argv); ok {
			t.Errorf("%q becomes %q", argv, got)
		}
	}
}

// A real shell prints the same and ends with the same code, in the last command's own process.
func TestWithExecRuns(t *testing.T) {
	for script, want := range map[string]string{
		`cd /tmp && printenv A`:                                         "b\n",
		"export A=c; ls /nowhere 2> /dev/null; printenv A":              "c\n",
		"set -e; umask 077\n[ -d / ] || exit 7\nls -d / \\\n  /tmp # x": "/\n/tmp\n",
		"echo a && ls -d \"$1\"":                                        "a\n/tmp\n",
		"cat <<E\nb\nE\nls -d $(echo /)":                                "b\n/\n",
		"false && ls /":                                                 "",
		"echo a; ls /nowhere 2> /dev/null":                              "a\n",
		"for i in 1 2; do echo $i; done; no-such-program 2> log":        "1\n2\n",
		"read x < /dev/null || true; > /dev/null ls /":                  "",
	} {
		before := []string{"sh", "-c", script, "sh", "/tmp"}
		after, ok := shell.WithExec(before)
		if !ok {
			t.Errorf("%q: no exec", script)
			continue
		}
		codes := [2]int{}
		for i, argv := range [][]string{before, after} {
			c := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
			c.Dir, c.Env = t.TempDir(), append(os.Environ(), "A=b")
			out, _ := c.Output() // its code says the same
			if codes[i] = c.ProcessState.ExitCode(); string(out) != want {
				t.Errorf("%q prints %q; want %q", argv[2], out, want)
			}
		}
		if codes[0] != codes[1] {
			t.Errorf("%q ends with %d; %q with %d", before[2], codes[0], after[2], codes[1])
		}
	}
}

func FuzzWithExec(f *testing.F) {
	f.Add("cd /app && node server.js")
	f.Fuzz(func(t *testing.T, script string) {
		got, ok := shell.WithExec([]string{"sh", "-c", script})
		if _, again := shell.WithExec(got); ok && again {
			t.Errorf("%q becomes %q, and again another", script, got)
		}
	})
}
