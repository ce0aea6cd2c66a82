package shell_test

import (
	"testing"

	"twelvefold.dev/internal/shell"
)

func TestSwallowsSignals(t *testing.T) {
	for script, want := range map[string]bool{
		"app":                                 false, // the shell becomes it
		"A=b app --port $(cat /port; echo x)": false,
		"cd /app && node server.js":           true,
		"migrate; app":                        true,
		"app | sed s/a/b/":                    true,
		"migrate && exec app":                 false,
		`[ -f x ] || touch x; exec "$@"`:      false,
		"trap 'kill $!' TERM; app & wait":     false,
		"while true; do sync; sleep 60; done": true,
		"while :; do app; done":               true,
		"setup; tini -- app":                  false,
		"exec > /dev/null; app":               true,  // moves the output, starts nothing
		"if then":                             false, // no script
		"":                                    false,
		"export A=b; /app/server":             true,
	} {
		if got := shell.SwallowsSignals([]string{"/bin/sh", "-c", script}); got != want {
			t.Errorf("%q: %v", script, got)
		}
	}
	for _, argv := range [][]string{nil, {"app"}, {"tini", "--", "sh", "-c", "a; b"}, {"/usr/bin/dumb-init", "sh", "-c", "a; b"}} {
		if shell.SwallowsSignals(argv) {
			t.Errorf("%q swallows none", argv)
		}
	}
}

// Tried with bash 5.2 and dash: what stands in /proc/1/comm.
func TestBashGivesWay(t *testing.T) {
	for script, want := range map[string]bool{
		"cd /app; node server.js":             true,
		"true && app":                         true,
		"if true; then a; fi\napp $X":         true,
		"true; $APP":                          true,
		"run() { app; }; run":                 false, // a function is no process
		"app; exit 1":                         false,
		"app > /dev/null":                     false,
		"app | cat":                           false,
		"app &":                               false,
		"while true; do sync; sleep 60; done": false,
		"if then":                             false,
		"":                                    false,
	} {
		if got := shell.BashGivesWay([]string{"/bin/bash", "-ec", script}); got != want {
			t.Errorf("%q: %v", script, got)
		}
		if shell.BashGivesWay([]string{"sh", "-c", script}) {
			t.Errorf("%q: sh stays", script)
		}
	}
}

func TestWaitsForEver(t *testing.T) {
	for script, want := range map[string]bool{
		"until nc -z db 5432; do echo waiting; sleep 2; done":                             true,
		"while ! pg_isready; do sleep 1; done; echo up":                                   true,
		"while true; do curl -f http://a && break; sleep 1; done":                         true,
		"for i in $(seq 1 30); do nc -z db 5432 && exit 0; sleep 2; done; exit 1":         false,
		"i=0; until nc -z db 5432; do i=$((i+1)); [ $i -gt 30 ] && exit 1; sleep 2; done": false,
		"until [ $(date +%s) = 1 ]; do sleep 1; done":                                     false,
		"while read line; do echo $line; done < file":                                     false, // ends with the file
		"for ((;;)); do nc -z db 5432 && break; sleep 1; done":                            true,
		"for ((i=0; i<9; i++)); do nc -z db 5432 && break; sleep 1; done":                 false,
		"sleep 10": false,
	} {
		if got := shell.WaitsForEver([]string{"sh", "-c", script}); got != want {
			t.Errorf("%q: %v", script, got)
		}
	}
	if shell.WaitsForEver([]string{"timeout", "300", "sh", "-c", "until a; do sleep 1; done"}) {
		t.Error("timeout bounds it")
	}
}
