package shell_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/shell"
)

func TestParse(t *testing.T) {
	type commands = []shell.Command
	script := func(text string) []string { return []string{"/bin/sh", "-c", text} }
	for name, test := range map[string]struct {
		argv []string
		want commands
	}{
		"plain":            {[]string{"nginx", "-g", "daemon off;"}, commands{{Words: []string{"nginx", "-g", "daemon off;"}}}},
		"no shell":         {[]string{"echo", "a > b"}, commands{{Words: []string{"echo", "a > b"}}}},
		"wrapped":          {[]string{"tini", "--", "env", "A=1", "app"}, commands{{Words: []string{"app"}}}},
		"by user":          {[]string{"/docker-entrypoint.sh", "gosu", "app:app", "nice", "-n", "5", "app", "-x"}, commands{{Words: []string{"app", "-x"}}}},
		"entrypoint's":     {[]string{"docker-entrypoint.sh", "-c", "a=b"}, commands{{Words: []string{"docker-entrypoint.sh", "-c", "a=b"}}}},
		"timeout":          {[]string{"timeout", "-s", "KILL", "30", "sh", "-c", "a"}, commands{{Words: []string{"a"}, InScript: true, Bounded: true}}},
		"nsenter":          {[]string{"nsenter", "-t", "1", "--", "sh", "-c", "a"}, commands{{Words: []string{"a"}, InScript: true, Outside: true}}},
		"chroot":           {script(`a; chroot /host b`), commands{{Words: []string{"a"}, InScript: true}, {Words: []string{"b"}, InScript: true, Outside: true}}},
		"timeout inside":   {script(`timeout 5 sleep 9; a`), commands{{Words: []string{"sleep", "9"}, InScript: true, Bounded: true}, {Words: []string{"a"}, InScript: true}}},
		"su":               {[]string{"su", "-", "app", "-c", "a; b"}, commands{{Words: []string{"a"}, InScript: true}, {Words: []string{"b"}, InScript: true}}},
		"su inside":        {script(`su -c 'a' app`), commands{{Words: []string{"a"}, InScript: true}}},
		"busybox":          {[]string{"busybox", "sh", "-c", "--", "a"}, commands{{Words: []string{"a"}, InScript: true}}},
		"asked for":        {script(`command -v yarn`), commands{{Words: []string{"command", "-v", "yarn"}, InScript: true}}},
		"background block": {script(`{ a; } &`), commands{{Words: []string{"a"}, InScript: true, Background: true}}},
		"a script file":    {[]string{"sh", "/start.sh", "-c"}, commands{{Words: []string{"sh", "/start.sh", "-c"}}}},
		"options":          {[]string{"bash", "-euo", "pipefail", "-c", "a b"}, commands{{Words: []string{"a", "b"}, InScript: true}}},
		"quotes":           {script(`exec "$APP" 'x y' "a$B"c`), commands{{Words: []string{"$APP", "x y", "a$Bc"}, InScript: true}}},
		"redirect":         {script(`app >> /var/log/a.log 2>&1`), commands{{Words: []string{"app"}, InScript: true, Redirects: []shell.Redirect{{">>", "/var/log/a.log"}}}}},
		"quoted bracket":   {script(`echo "a > b"`), commands{{Words: []string{"echo", "a > b"}, InScript: true}}},
		"background":       {script(`app &`), commands{{Words: []string{"app"}, InScript: true, Background: true}}},
		"and": {script(`a && b || c`), commands{{Words: []string{"a"}, InScript: true}, {Words: []string{"b"}, InScript: true, Maybe: true},
			{Words: []string{"c"}, InScript: true, Maybe: true}}},
		"loop": {script(`while true; do sleep 5; done`), commands{{Words: []string{"true"}, InScript: true, Loop: true, Maybe: true},
			{Words: []string{"sleep", "5"}, InScript: true, Loop: true, Maybe: true}}},
		"loop of a nested script": {script(`for i in 1 2; do sh -c 'a'; done; b`), commands{{Words: []string{"a"}, InScript: true, Loop: true, Maybe: true},
			{Words: []string{"b"}, InScript: true}}},
		"branch": {script(`if a; then b; fi; f() { c; }`), commands{{Words: []string{"a"}, InScript: true, Maybe: true},
			{Words: []string{"b"}, InScript: true, Maybe: true}, {Words: []string{"c"}, InScript: true, Maybe: true}}},
		"pipe": {script(`curl x | sh`), commands{{Words: []string{"curl", "x"}, InScript: true, PipedInto: []string{"sh"}}, {Words: []string{"sh"}, InScript: true}}},
		"block": {script(`{ a; b; } > /l`), commands{{Words: []string{"a"}, InScript: true, Redirects: []shell.Redirect{{">", "/l"}}},
			{Words: []string{"b"}, InScript: true, Redirects: []shell.Redirect{{">", "/l"}}}}},
		"nested":     {script(`sh -c "a > /l"`), commands{{Words: []string{"a"}, InScript: true, Redirects: []shell.Redirect{{">", "/l"}}}}},
		"assignment": {script(`A=1`), nil},
		"broken":     {script(`if then`), nil},
		"empty":      {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, shell.Parse(test.argv)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`a | b > c &`, `sh -c 'sh -c "a"'`, `for i in 1; do x; done >y`, `((`, "a <<E\nx\nE\n", "$(a) `b` \\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, script string) {
		for _, c := range shell.Parse([]string{"sh", "-c", script}) {
			if len(c.Words) == 0 && len(c.Redirects) == 0 {
				t.Errorf("%q: a command of nothing", script)
			}
		}
	})
}
