package shell_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"twelvefold.dev/internal/shell"
)

// A real shell prints, without the redirections, what it printed and what it wrote into the log.
func TestWithoutRedirectsRuns(t *testing.T) {
	for _, test := range []struct{ script, want string }{
		{`echo a >> app.log 2>&1; echo b`, "a\nb\n"},
		{`exec > app.log 2>&1; echo a; echo b >&2`, "a\nb\n"},
		{`for i in 1 2; do echo "$i" >>app.log; done && { echo c; echo d >"app.log"; }`, "1\n2\nc\nd\n"},
		{`if echo x >/dev/null; then echo y > app.log; else echo z > app.log; fi; exit 0`, "y\n"},
		{"cat <<E >app.log\na > b.log\nE\necho c", "a > b.log\nc\n"},
		{`(echo a; echo b) > app.log & wait`, "a\nb\n"},
		{`echo a\ > app.log; echo 2>app.log b`, "a \nb\n"},
	} {
		argv, ok := shell.WithoutRedirects([]string{"sh", "-c", test.script}, isLog)
		if !ok {
			t.Errorf("%s: unchanged", test.script)
			continue
		}
		dir := t.TempDir()
		c := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
		c.Dir = dir
		out, err := c.Output()
		if _, missing := os.Stat(filepath.Join(dir, "app.log")); err != nil || string(out) != test.want || missing == nil {
			t.Errorf("%s became %s: %q, %v; want %q and no app.log", test.script, argv[2], out, err, test.want)
		}
	}
}
