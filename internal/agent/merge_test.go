//go:build unix

package agent_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"twelvefold.dev/internal/agent"
	"twelvefold.dev/internal/metricsmerge"
	"twelvefold.dev/test/freeport"
)

func mergePlan(port int, target string) string {
	return fmt.Sprintf(`%s={"port":%d,"targets":[{"source":"app","port":%s,"path":"/metrics"}]}`, metricsmerge.PlanEnv, port, target[strings.LastIndexByte(target, ':')+1:])
}

// The program serves until SIGTERM, which ends it at once, also while a scrape is under way.
func TestMergeServesUntilItIsStopped(t *testing.T) {
	asked, hang := make(chan struct{}), make(chan struct{})
	first := true
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if first {
			first = false
			fmt.Fprint(w, "x 1\n")
			return
		}
		close(asked)
		<-hang
	}))
	defer app.Close()
	defer close(hang)
	port := freeport.Find(t)
	c := exec.Command(agentBinary(t), "merge")
	c.Env = []string{mergePlan(port, app.URL)}
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	log := bufio.NewReader(stderr)
	if line, err := log.ReadString('\n'); err != nil || !strings.Contains(line, `"serving"`) {
		t.Fatalf("log %q, %v", line, err)
	}
	url := fmt.Sprintf("http://127.0.0.1:%d/metrics", port)
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || !strings.Contains(string(body), `x{twelvefold_source="app"} 1`) {
		t.Errorf("%v:\n%s", err, body)
	}
	go http.Get(url) // which gets nothing more
	<-asked
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(log)
	if err := c.Wait(); err != nil || len(rest) > 0 {
		t.Errorf("%v, log %s", err, rest)
	}
}

func TestMergePortIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", ":0") // free on all addresses: merge and tail listen on them
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, plan, _ := strings.Cut(mergePlan(l.Addr().(*net.TCPAddr).Port, ":1"), "=")
	var log bytes.Buffer
	a := &agent.Agent{Env: func(name string) string { return map[string]string{metricsmerge.PlanEnv: plan}[name] }, Stdout: &log, Stderr: &log}
	if code := a.Run(t.Context(), []string{"merge"}); code != agent.ExitConfiguration || !strings.Contains(log.String(), "TWELVEFOLD_MERGE: port: ") || !strings.Contains(log.String(), "address already in use") {
		t.Errorf("exit code %d, log %s", code, log.String())
	}
}

func TestMergeRefusesBadPlan(t *testing.T) {
	for plan, want := range map[string]string{
		`{`: "unexpected EOF",
		`{"port":9464,"targets":[{"source":"a","port":9464,"path":"/"}]}`: "targets[0].port: 9464 is the port that merge serves on",
	} {
		var log bytes.Buffer
		a := &agent.Agent{Env: func(string) string { return plan }, Stdout: &log, Stderr: &log}
		if code := a.Run(t.Context(), []string{"merge"}); code != agent.ExitConfiguration || !strings.Contains(log.String(), want) {
			t.Errorf("%s: exit code %d, log %s", plan, code, log.String())
		}
	}
}
