//go:build linux

package agent_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"twelvefold.dev/internal/agent"
	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/keyvault"
)

// planted is part of every value here, and of whatever else an answer may quote.
const planted = "Pl4nted-S3cret-0123456789"

// formsOf are the ways in which a value may hide in text.
func formsOf(value string) []string {
	forms := []string{value, hex.EncodeToString([]byte(value)), strings.ToUpper(hex.EncodeToString([]byte(value)))}
	for _, shift := range []int{0, 1, 2} { // base64 depends on where in the text it begins
		whole := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + value))
		inner := strings.TrimRight(whole, "=")
		inner = inner[(shift*8+5)/6 : len(inner)-1]
		forms = append(forms, inner, strings.NewReplacer("+", "-", "/", "_").Replace(inner))
	}
	return append(forms, url.QueryEscape(value))
}

func TestFormsFindWhatHides(t *testing.T) {
	for _, prefix := range []string{"", "a", "ab", "abc", "\x00'"} {
		text := prefix + planted + "suffix"
		for _, hidden := range []string{text, hex.EncodeToString([]byte(text)), base64.StdEncoding.EncodeToString([]byte(text)), base64.RawURLEncoding.EncodeToString([]byte(text))} {
			if !slices.ContainsFunc(formsOf(planted), func(form string) bool { return strings.Contains(hidden, form) }) {
				t.Errorf("%q is not found in %q", planted, hidden)
			}
		}
	}
}

// secretive runs processes, and fails the test if any text that they leave holds a value or a token.
type secretive struct {
	*pod
	forms    []string
	deadline string
}

const patient = "1m" // where all goes well, however slowly

func newSecretive(t *testing.T) *secretive {
	p := newPod(t)
	for _, name := range []string{"a", "b"} {
		p.set(t, name, planted+"-"+name)
	}
	return &secretive{p, append(formsOf(planted), "eyJ"), patient}
}

func (s *secretive) check(t *testing.T, what string, text []byte) {
	t.Helper()
	for _, form := range s.forms {
		if bytes.Contains(text, []byte(form)) {
			t.Errorf("%s holds %q:\n%s", what, form, text)
		}
	}
}

// run runs a process; enough is asked while it runs, and brings SIGTERM.
func (s *secretive) run(t *testing.T, c *exec.Cmd, enough func() bool) (code int) {
	t.Helper()
	var out, log locked
	c.Stdout, c.Stderr = &out, &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done, stopped := make(chan struct{}), false
	go func() { c.Wait(); close(done) }()
	for end := time.Now().Add(time.Minute); ; {
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.Process.Pid))
		if err == nil {
			s.check(t, "argv", cmdline)
		}
		select {
		case <-done:
			s.check(t, "stdout", out.Bytes())
			s.check(t, "stderr", log.Bytes())
			for _, file := range []string{"termination", "state/versions.json", "state/restart.json"} {
				text, err := os.ReadFile(s.path(file))
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
				}
				s.check(t, file, text)
			}
			return c.ProcessState.ExitCode()
		case <-time.After(2 * time.Millisecond):
		}
		if !stopped && (enough != nil && enough() || time.Now().After(end)) {
			stopped = true
			c.Process.Signal(syscall.SIGTERM)
		}
	}
}

// locked is a buffer that a process's output is copied to.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) Bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}

func (s *secretive) fetchProcess(t *testing.T, plan keyvault.Plan) *exec.Cmd {
	t.Helper()
	s.env[keyvault.PlanEnv] = planText(t, plan)
	c := exec.Command(agentBinary(t), append([]string{"fetch", "--deadline", s.deadline, "--termination-log", s.path("termination")}, s.args...)...)
	c.Env = s.environ()
	return c
}

// leakPlan is for files in two volumes and for variables.
func leakPlan() keyvault.Plan {
	return keyvault.Plan{
		Env:   []keyvault.EnvItem{{Key: "K0", Reference: in("a"), EnvName: "A"}, {Key: "K1", Reference: in("b"), EnvName: "B"}},
		Files: []keyvault.FileItem{{Path: "a", Reference: in("a")}, {Volume: "tls", Path: "b/c", Reference: in("b")}},
	}
}

// leakFaults are all kinds of faults that the emulator plays, for all that is asked.
func leakFaults() map[string]emulator.Fault {
	faults := map[string]emulator.Fault{"down": {Down: true}, "slow": {Delay: time.Hour}, "no JSON with 400": {Status: 400, Body: planted}, "no JSON with 503": {Status: 503, Body: planted}}
	for _, status := range []int{302, 400, 401, 403, 404, 408, 409, 429, 500, 503} {
		faults[fmt.Sprint(status)] = emulator.Fault{Status: status, Body: `{"error":{"code":"BadParameter","message":"` + planted + `"}}`}
	}
	for name, body := range map[string]string{
		"no JSON": planted, "wrong type": `{"value": ["` + planted + `"]}`, "cut": `{"value": "` + planted, "no value": `{"id": "` + planted + `"}`,
		"bad dates": `{"value": "x", "attributes": {"exp": "` + planted + `"}}`, "bad token": `{"access_token": ["` + planted + `"]}`, "empty": "{}",
	} {
		faults[name] = emulator.Fault{Status: 200, Body: body}
	}
	return faults
}

func TestNothingLeaksWhereAllGoesWell(t *testing.T) {
	s := newSecretive(t)
	if code := s.run(t, s.fetchProcess(t, leakPlan()), nil); code != agent.ExitOK {
		t.Errorf("fetch ends with %d", code)
	}
	if code := s.run(t, s.fetchProcess(t, inExec(leakPlan())), nil); code != agent.ExitOK {
		t.Errorf("fetch for exec ends with %d", code)
	}
	c := exec.Command(s.path("bin/twelvefold-agent"), "exec", "--values", s.path("env/exec.json"), "--", "sleep", "60")
	c.Env = []string{somePath, "A=@Twelvefold(K0)", "B=<@Twelvefold(K1)>"}
	running := func() bool { // until it has become the command
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.Process.Pid))
		return err == nil && string(cmdline) == "sleep\x0060\x00"
	}
	if code := s.run(t, c, running); code != -1 { // by the signal
		t.Errorf("the command ends with %d", code)
	}
	for _, rotation := range []string{"files", "restart"} {
		version := s.set(t, "a", planted+"-2")
		c := s.syncProcess(t, rotation)
		want := 0
		enough := func() bool {
			text, err := os.ReadFile(s.path("state/versions.json"))
			return rotation == "files" && err == nil && strings.Contains(string(text), version)
		}
		if rotation == "restart" {
			want = agent.ExitRestart
		}
		if code := s.run(t, c, enough); code != want {
			t.Errorf("sync for %s ends with %d", rotation, code)
		}
	}
}

func (s *secretive) syncProcess(t *testing.T, rotation string) *exec.Cmd {
	t.Helper()
	s.env[keyvault.PlanEnv] = planText(t, leakPlan())
	c := exec.Command(agentBinary(t), append([]string{"sync", "--deadline", s.deadline}, s.args...)...)
	c.Env = append(s.environ(), "TWELVEFOLD_ROTATION="+rotation, "TWELVEFOLD_INTERVAL=20ms")
	return c
}

func TestNothingLeaksUnderFaults(t *testing.T) {
	for _, host := range []string{shop, "login.microsoftonline.com"} {
		for name, fault := range leakFaults() {
			t.Run(name+" from "+host, func(t *testing.T) {
				t.Parallel()
				s := newSecretive(t)
				s.Fail(host, fault)
				s.deadline = "150ms"
				plan := leakPlan()
				plan.Exec = len(name)%2 == 0
				if code := s.run(t, s.fetchProcess(t, plan), nil); code == agent.ExitOK || code == agent.ExitInternal {
					t.Errorf("fetch ends with %d", code)
				}
				s.Heal(host)
				s.deadline = patient
				if code := s.run(t, s.fetchProcess(t, leakPlan()), nil); code != agent.ExitOK {
					t.Fatalf("fetch ends with %d", code)
				}

				s.set(t, "a", planted+"-2")
				s.Fail(host, fault)
				s.deadline = "200ms"
				asked := len(s.Requests())
				rotation := []string{"files", "restart"}[len(name)/2%2]
				enough := func() bool { return len(s.Requests()) >= asked+4 || fault.Delay > 0 && len(s.Requests()) > asked }
				if code := s.run(t, s.syncProcess(t, rotation), enough); code != agent.ExitOK {
					t.Errorf("sync for %s ends with %d", rotation, code)
				}
			})
		}
	}
}

// What can't be delivered is not shown either.
func TestNothingLeaksOfWhatIsRefused(t *testing.T) {
	for name, value := range map[string]string{
		"single quote": planted + "'", "NUL": planted + "\x00", "CR LF": planted + "\r\n", "long line": planted + strings.Repeat("x", 70_000),
		"too long": strings.Repeat(planted, 6000), "JSON": `{"password": ["` + planted + `"`, "YAML": "password: [" + planted, "PEM": "-----BEGIN CERTIFICATE-----\n" + planted,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSecretive(t)
			s.set(t, "a", value)
			field, pfx, hexed := in("a"), in("a"), in("a")
			field.Field, pfx.Format, hexed.Encoding = "password", keyvault.PFX, keyvault.Hex
			for i, r := range []keyvault.Reference{in("a"), field, pfx, hexed} {
				plan := keyvault.Plan{Env: []keyvault.EnvItem{{Key: "K0", Reference: r, EnvName: "A"}}, Exec: i%2 == 1}
				s.run(t, s.fetchProcess(t, plan), nil)
				s.run(t, s.fetchProcess(t, keyvault.Plan{Files: []keyvault.FileItem{{Path: "f", Reference: r}}}), nil)
			}
		})
	}
}
