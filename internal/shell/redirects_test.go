package shell_test

import (
	"slices"
	"strings"
	"testing"

	"twelvefold.dev/internal/shell"
)

func isLog(r shell.Redirect) bool { return strings.HasSuffix(r.Target, ".log") }

func TestWithoutRedirects(t *testing.T) {
	for script, want := range map[string]string{
		`exec app >> /l/a.log 2>&1`:                     `exec app 2>&1`,
		`exec app --x='a > b.log' >/l/a.log`:            `exec app --x='a > b.log'`,
		`app &> a.log & wait`:                           `app & wait`,
		`app > a.log 2> b.log; more`:                    `app; more`,
		`exec > /l/out.log; app`:                        `exec; app`,
		`a && b > a.log || c >> "x $D/c.log"`:           `a && b || c`,
		`while :; do date >> /l/1.log; sleep 1; done`:   `while :; do date; sleep 1; done`,
		`{ a; b > x.log; } > y.log`:                     `{ a; b; }`,
		`if a; then b > x.log; else c > y.log; fi`:      `if a; then b; else c; fi`,
		"é; app > /l/é.log # > b.log\n":                 "é; app # > b.log\n",
		`app > a.log | cat`:                             "", // goes into the pipe
		`x=$(app > a.log)`:                              "",
		`f() { app > a.log; }; f`:                       "",
		`{ a > x.log; } > data`:                         "",
		`exec > data; app > a.log`:                      "", // would go into data
		`app > a.log >&3`:                               `app >&3`,
		`{ a > a.log; } >&3`:                            "",
		`app 3> a.log`:                                  "",
		`app > $(date).log`:                             "",
		`a\ >b.log`:                                     `a\ `,
		`app > data`:                                    "",
		`app < a.log`:                                   "",
		`if then`:                                       "",
		`a > x.log; cat <<E > y.log` + "\nb > c.log\nE": "a; cat <<E\nb > c.log\nE",
	} {
		argv := []string{"tini", "--", "bash", "-ec", script, "arg"}
		got, ok := shell.WithoutRedirects(argv, isLog)
		if ok != (want != "") || ok && (got[4] != want || !slices.Equal(slices.Delete(got, 4, 5), []string{"tini", "--", "bash", "-ec", "arg"})) {
			t.Errorf("%q: %q %t, want %q", script, got, ok, want)
		}
	}
	for _, argv := range [][]string{nil, {"app", ">", "a.log"}, {"sh", "a > b.log"}, {"sh", "-c"}} {
		if got, ok := shell.WithoutRedirects(argv, isLog); ok {
			t.Errorf("%q: %q", argv, got)
		}
	}
}

// What is left runs the same commands, has none of the redirections that were cut out, and loses nothing the second time.
func FuzzWithoutRedirects(f *testing.F) {
	for _, s := range []string{`exec app >> /l/a.log 2>&1`, `{ a > x.log; b; } &> y.log`, "a <<E > b.log\nx\nE\n", "a >a.log; b >`c`.log", `a\ >b.log`, "a >a.log>b.log"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, script string) {
		argv := []string{"sh", "-c", script}
		got, ok := shell.WithoutRedirects(argv, isLog)
		if !ok {
			return
		}
		words := func(argv []string) (all []string) {
			for _, c := range shell.Parse(argv) {
				all = append(all, strings.Join(c.Words, " "))
			}
			return slices.DeleteFunc(all, func(s string) bool { return s == "" })
		}
		if before, after := words(argv), words(got); !slices.Equal(before, after) {
			t.Errorf("%q became %q: %q, then %q", script, got[2], before, after)
		}
		if again, ok := shell.WithoutRedirects(got, isLog); ok {
			t.Errorf("%q became %q, then %q", script, got[2], again[2])
		}
	})
}
