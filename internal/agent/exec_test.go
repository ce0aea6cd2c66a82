//go:build linux

package agent_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/agent"
)

// wrapped is a command behind the agent's exec, in an environment of the test's.
func wrapped(t *testing.T, values map[string]string, environ []string, argv ...string) *exec.Cmd {
	t.Helper()
	encoded := map[string][]byte{}
	for k, v := range values {
		encoded[k] = []byte(v)
	}
	text, err := json.Marshal(encoded)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "exec.json")
	if err := os.WriteFile(file, text, 0o444); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(agentBinary(t), append([]string{"exec", "--values", file, "--"}, argv...)...)
	c.Env, c.Stdin, c.Dir = environ, strings.NewReader(""), t.TempDir()
	return c
}

// ran runs a command to its end. Its stderr must hold no value.
func ran(t *testing.T, c *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	var out, log bytes.Buffer
	c.Stdout, c.Stderr = &out, &log
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), marker) {
		t.Errorf("stderr holds a value:\n%s", log.String())
	}
	return c.ProcessState.ExitCode(), out.String(), log.String()
}

const somePath = "PATH=/usr/local/bin:/usr/bin:/bin"

func TestExecEnvironment(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	values := map[string]string{"K0": marker + "'\"\n\r\n$(A)$$\xff\xfe", "K1": "@Twelvefold(K0)", "K2": "", "K3": long}
	environ := []string{
		somePath, "PLAIN=a=b", "EMPTY=", "WHOLE=@Twelvefold(K0)", "INSIDE=postgres://u:@Twelvefold(K0)@db/@Twelvefold(K2)x", "AGAIN=@Twelvefold(K1)",
		"BLANK=@Twelvefold(K2)", "ABSENT=@Twelvefold(K9)", "HALF=a@Twelvefold(K9)b", "LONG=@Twelvefold(K3)",
	}
	want := []string{
		somePath, "PLAIN=a=b", "EMPTY=", "WHOLE=" + values["K0"], "INSIDE=postgres://u:" + values["K0"] + "@db/x", "AGAIN=@Twelvefold(K0)",
		"BLANK=", "HALF=ab", "LONG=" + long,
	}
	code, out, stderr := ran(t, wrapped(t, values, environ, "cat", "/proc/self/environ"))
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d, stderr %s", code, stderr)
	}
	if diff := cmp.Diff(want, strings.Split(strings.TrimSuffix(out, "\x00"), "\x00")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestExecKeepsArguments(t *testing.T) {
	values := map[string]string{"K0": marker}
	// argv[0] as the user wrote it, and no argument that is read as a flag of ours, or replaced.
	argv := []string{"sh", "-c", `cat /proc/$$/cmdline; pwd >&2`, "@Twelvefold(K0)", "--values", "--help", "", "a b", "$(X)", "--"}
	c := wrapped(t, values, []string{somePath, "V=@Twelvefold(K0)"}, argv...)
	code, out, stderr := ran(t, c)
	if diff := cmp.Diff(strings.Join(argv, "\x00")+"\x00", out); code != 0 || diff != "" {
		t.Errorf("exit code %d (-want +got):\n%s", code, diff)
	}
	if dir, _ := filepath.EvalSymlinks(c.Dir); strings.TrimSpace(stderr) != dir {
		t.Errorf("works in %s, want %s", stderr, dir)
	}
}

func TestExecPassesStreamsAndExitCode(t *testing.T) {
	c := wrapped(t, map[string]string{"K0": marker}, []string{somePath, "V=@Twelvefold(K0)"}, "sh", "-c", `cat; echo err >&2; test "$V" = `+marker+` && exit 7`)
	c.Stdin = strings.NewReader("in")
	if code, out, stderr := ran(t, c); code != 7 || out != "in" || stderr != "err\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out, stderr)
	}
}

func TestExecIsTheSameProcessAndTakesSignals(t *testing.T) {
	c := wrapped(t, map[string]string{"K0": marker}, []string{somePath, "V=@Twelvefold(K0)"},
		"sh", "-c", `sleep 60 & trap 'kill $!; echo "terminated $V"; exit 9' TERM; echo $$; wait`)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if pid, err := lines.ReadString('\n'); err != nil || pid != fmt.Sprintf("%d\n", c.Process.Pid) {
		t.Errorf("runs as %q, %v; want %d", pid, err, c.Process.Pid)
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.Process.Pid))
	if err != nil || bytes.Contains(cmdline, []byte(marker)) || !bytes.HasPrefix(cmdline, []byte("sh\x00-c\x00")) {
		t.Errorf("cmdline %q, %v", cmdline, err)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(lines)
	if err := c.Wait(); c.ProcessState.ExitCode() != 9 || string(rest) != "terminated "+marker+"\n" {
		t.Errorf("%v, stdout %q", err, rest)
	}
}

// Limits and signals are the application's own, as if nothing had run before it.
func TestExecLeavesTheProcessAsItWas(t *testing.T) {
	for _, argv := range [][]string{{"cat", "/proc/self/limits"}, {"grep", "-E", "^Sig(Blk|Ign|Cgt)|^Umask", "/proc/self/status"}} {
		direct := exec.Command(argv[0], argv[1:]...)
		direct.Stdin = strings.NewReader("")
		want, err := direct.Output()
		if err != nil {
			t.Fatal(err)
		}
		_, got, _ := ran(t, wrapped(t, nil, []string{somePath}, argv...))
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%v (-direct +wrapped):\n%s", argv, diff)
		}
	}
}

func TestExecFindsTheCommand(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), []byte(text), mode)); err != nil {
			t.Fatal(err)
		}
	}
	const script = "#!/bin/sh\necho $0\n"
	write("one/tool", script, 0o755)
	write("two/tool", script, 0o755)
	write("plain/tool", script, 0o644)
	write("plain/dull", script, 0o644)
	write("raw/raw", "echo raw", 0o755)
	write("raw/lost", "#!/nowhere/interpreter\n", 0o755)
	write("folder/tool/x", "", 0o644)
	for name, tc := range map[string]struct {
		command string
		path    string
		code    int
		want    string // of stdout, or of stderr where it fails
	}{
		"first of PATH":              {"tool", dir + "/two:" + dir + "/one", 0, dir + "/two/tool\n"},
		"what can't be run is left":  {"tool", dir + "/plain:" + dir + "/folder:/nowhere:" + dir + "/one", 0, dir + "/one/tool\n"},
		"relative entries are left":  {"tool", "one:.::" + dir + "/two", 0, dir + "/two/tool\n"},
		"only relative entries":      {"tool", "one:.:", agent.ExitNotFound, "tool: there is no such command"},
		"empty PATH":                 {"tool", "", agent.ExitNotFound, "no such command"},
		"path":                       {dir + "/one/tool", "/nowhere", 0, dir + "/one/tool\n"},
		"relative path":              {"./one/tool", "/nowhere", 0, "./one/tool\n"},
		"missing path":               {"/nowhere/tool", dir + "/one", agent.ExitNotFound, "/nowhere/tool: there is no such file"},
		"below a file":               {dir + "/one/tool/x", "", agent.ExitNotFound, "there is no such file"},
		"not executable":             {dir + "/plain/dull", "", agent.ExitCannotRun, "may not execute it"},
		"not executable in PATH":     {"dull", dir + "/one:" + dir + "/plain", agent.ExitCannotRun, "may not execute it"},
		"directory":                  {dir + "/folder", "", agent.ExitCannotRun, "it is a directory"},
		"directory in PATH":          {"folder", dir, agent.ExitNotFound, "no such command"},
		"no program":                 {"raw", dir + "/raw", agent.ExitCannotRun, "#!"},
		"interpreter that is absent": {"lost", dir + "/raw", agent.ExitCannotRun, "interpreter"},
		"empty command":              {"", dir + "/one", agent.ExitNotFound, "no such command"},
	} {
		t.Run(name, func(t *testing.T) {
			c := wrapped(t, nil, []string{"PATH=" + tc.path}, tc.command)
			c.Dir = dir
			code, out, stderr := ran(t, c)
			if code != tc.code || code == 0 && out != tc.want || !strings.Contains(out+stderr, tc.want) {
				t.Errorf("exit code %d, stdout %q, stderr %s", code, out, stderr)
			}
			if code != 0 && !json.Valid([]byte(stderr)) {
				t.Errorf("stderr is not a line of JSON: %s", stderr)
			}
		})
	}
}

func TestExecWithoutPathSearchesTheUsual(t *testing.T) {
	code, out, stderr := ran(t, wrapped(t, nil, []string{"A=1"}, "cat", "/proc/self/environ"))
	if code != 0 || out != "A=1\x00" { // and sets none
		t.Errorf("exit code %d, stdout %q, stderr %s", code, out, stderr)
	}
}

func TestExecRefuses(t *testing.T) {
	huge := marker + strings.Repeat("x", 131_000)
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprintf("V%d=@Twelvefold(K0)", i))
	}
	const bad = agent.ExitConfiguration
	for name, tc := range map[string]struct {
		environ []string
		argv    []string // after exec
		code    int
		want    string
	}{
		"no command":          {nil, []string{"--values", "VALUES", "--"}, bad, "no command"},
		"nothing":             {nil, nil, bad, "no command"},
		"unknown flag":        {nil, []string{"--shell", "--", "true"}, bad, "--shell"},
		"no values":           {nil, []string{"--values", "/nowhere/exec.json", "--", "true"}, bad, "/nowhere/exec.json"},
		"garbled values":      {nil, []string{"--values", "GARBLED", "--", "true"}, bad, "not the JSON that fetch writes"},
		"variable too long":   {[]string{"OK=@Twelvefold(K1)", "DB_URL=" + strings.Repeat("y", 100) + "@Twelvefold(K0)"}, []string{"--values", "VALUES", "--", "true"}, agent.ExitCannotRun, "DB_URL"},
		"environment too big": {many, []string{"--values", "VALUES", "--", "true"}, agent.ExitCannotRun, "longer than Linux takes"},
	} {
		t.Run(name, func(t *testing.T) {
			c := wrapped(t, map[string]string{"K0": huge, "K1": "v"}, append([]string{somePath}, tc.environ...))
			values := c.Args[3]
			garbled := filepath.Join(t.TempDir(), "garbled")
			if err := os.WriteFile(garbled, []byte(`{"K0": "`+marker), 0o444); err != nil {
				t.Fatal(err)
			}
			c.Args = []string{c.Args[0], "exec"}
			for _, arg := range tc.argv {
				c.Args = append(c.Args, strings.NewReplacer("VALUES", values, "GARBLED", garbled).Replace(arg))
			}
			code, out, stderr := ran(t, c)
			if code != tc.code || out != "" || !strings.Contains(stderr, tc.want) {
				t.Errorf("exit code %d, stdout %q, stderr %s", code, out, stderr)
			}
		})
	}
}

// A command line as Kubernetes runs it in a probe or a hook.
func TestExecInProbes(t *testing.T) {
	for value, want := range map[string]int{"right": 0, "wrong": 1} {
		c := wrapped(t, map[string]string{"K0": value}, []string{somePath, "PASSWORD=@Twelvefold(K0)"}, "/bin/sh", "-c", `test "$PASSWORD" = right`)
		if code, _, stderr := ran(t, c); code != want {
			t.Errorf("%s: exit code %d, stderr %s", value, code, stderr)
		}
	}
}

func TestFetchThenExec(t *testing.T) {
	p := newPod(t)
	p.set(t, "a", marker+"'\r\n")
	p.env["TWELVEFOLD_PLAN"] = `{"exec":true,"env":[{"key":"K0","name":"A","vault":"` + shop + `","object":"a"}]}`
	fetch := exec.Command(agentBinary(t), append([]string{"fetch", "--termination-log", p.path("termination")}, p.args...)...)
	fetch.Env = p.environ()
	if os.Getuid() == 0 { // as in pods
		if err := errors.Join(os.Chmod(filepath.Dir(p.dir), 0o755), os.Chmod(p.path("token"), 0o644), os.Chmod(p.path("env"), 0o777), os.Chmod(p.path("bin"), 0o777), os.Chmod(p.path("state"), 0o777)); err != nil {
			t.Fatal(err)
		}
		fetch.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	}
	if code, _, stderr := ran(t, fetch); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, stderr)
	}
	c := exec.Command(p.path("bin/twelvefold-agent"), "exec", "--values", p.path("env/exec.json"), "--", "printenv", "A")
	c.Env = []string{somePath, "A=@Twelvefold(K0)"}
	if code, out, stderr := ran(t, c); code != 0 || out != marker+"'\r\n\n" {
		t.Errorf("exit code %d, stdout %q, stderr %s", code, out, stderr)
	}
}

// While they hold values, fetch and sync write no core and are closed to other processes of their user.
func TestProcessesAreHardened(t *testing.T) {
	p := newPod(t)
	p.env["TWELVEFOLD_PLAN"] = `{"files":[{"path":"f","vault":"` + shop + `","object":"a"}]}`
	p.env["TWELVEFOLD_ROTATION"] = "files"
	c := exec.Command(agentBinary(t), append([]string{"sync"}, p.args...)...)
	c.Env = p.environ()
	if os.Getuid() == 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	}
	log, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(log).ReadString('\n'); err != nil || !strings.Contains(line, "watching") {
		t.Errorf("log %q, %v", line, err)
	}
	wantNoCore(t, c.Process.Pid)
	info, err := os.Stat(fmt.Sprintf("/proc/%d/environ", c.Process.Pid))
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 { // what can be dumped belongs to the process's user
		t.Errorf("the memory is open to the process's user: %v, %v", info, err)
	}
	c.Process.Signal(syscall.SIGTERM)
	if err := c.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}

	p.Fail(shop, slow)
	c = exec.Command(agentBinary(t), append([]string{"fetch", "--termination-log", p.path("termination")}, p.args...)...)
	c.Env = p.environ()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	p.waitForRequest(t, shop)
	wantNoCore(t, c.Process.Pid)
	c.Process.Signal(syscall.SIGTERM)
	if c.Wait(); c.ProcessState.ExitCode() != agent.ExitUnreachable {
		t.Errorf("exit code %d", c.ProcessState.ExitCode())
	}
}

func wantNoCore(t *testing.T, pid int) {
	t.Helper()
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if rest, ok := strings.CutPrefix(line, "Max core file size"); ok && !slices.Equal(strings.Fields(rest)[:2], []string{"0", "0"}) {
			t.Errorf("limit of core dumps: %s", rest)
		}
	}
}
