package shell_test

import (
	"testing"

	"twelvefold.dev/internal/shell"
)

func TestWithExec(t *testing.T) {
	for script, want := range map[string]string{
		"cd /app && node server.js":               "cd /app && exec node server.js",
		"set -e\nmkdir -p /tmp/a\n./app --x  # y": "set -e\nmkdir -p /tmp/a\nexec ./app --x  # y",
		"echo a; ./app 2>&1":                      "echo a; exec ./app 2>&1",
		"a && b && /c \"$X\"":                     "a && b && exec /c \"$X\"",
		"echo é; app":                             "echo é; exec app",
		"if a; then b; fi; c":                     "if a; then b; fi; exec c",

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
	for _, argv := range [][]string{nil, {"./app"}, {"sh", "script.sh"}, {"sh", "-c"}} {
		if got, ok := shell.WithExec(argv); ok {
			t.Errorf("%q becomes %q", argv, got)
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
