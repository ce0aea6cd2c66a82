//go:build e2e

package browser

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// browser is a headless Chromium, spoken to by its DevTools protocol over a pipe: JSON messages that end in NUL.
type browser struct {
	t       *testing.T
	in      *os.File
	pipe    *os.File // that its messages come from
	out     *bufio.Reader
	session string // of the one page
	last    int    // the id of the last call
	events  []event
}

type event struct {
	Method string
	Params json.RawMessage
}

// open starts Chromium with an empty page.
func open(t *testing.T) *browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: on Debian, apt-get install chromium", err)
	}
	fromTest, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, toTest, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run", "--user-data-dir=" + t.TempDir(), "about:blank"}
	if os.Geteuid() == 0 {
		args = append([]string{"--no-sandbox"}, args...) // as root there is none
	}
	command := exec.Command(program, args...)
	command.ExtraFiles = []*os.File{fromTest, toTest} // 3 and 4
	var said bytes.Buffer
	command.Stderr = &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	fromTest.Close()
	toTest.Close()
	b := &browser{t: t, in: in, pipe: out, out: bufio.NewReader(out)}
	t.Cleanup(func() {
		overdue := time.AfterFunc(time.Minute, func() { _ = command.Process.Kill() })
		defer overdue.Stop()
		b.call("Browser.close", nil, nil)
		_ = command.Wait() // it has done its work
		in.Close()
		out.Close()
		if t.Failed() {
			t.Logf("chromium said: %s", said.Bytes())
		}
	})

	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page.enable", "Log.enable"} {
		b.call(domain, nil, nil)
	}
	return b
}

// call calls a method and waits for its result.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.last++
	message := map[string]any{"id": b.last, "method": method}
	if params != nil {
		message["params"] = params
	}
	if b.session != "" && method != "Browser.close" {
		message["sessionId"] = b.session
	}
	text, err := json.Marshal(message)
	if err == nil {
		_, err = b.in.Write(append(text, 0))
	}
	if err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	for {
		reply := b.receive(method)
		if reply.ID != b.last {
			continue
		}
		if reply.Error != nil {
			b.t.Fatalf("%s: %s", method, reply.Error)
		}
		if result != nil {
			if err := json.Unmarshal(reply.Result, result); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
		}
		return
	}
}

type reply struct {
	ID     int
	Result json.RawMessage
	Error  json.RawMessage
	event
}

// receive reads one message, and keeps it if it is an event.
func (b *browser) receive(what string) reply {
	b.t.Helper()
	err := b.pipe.SetReadDeadline(time.Now().Add(2 * time.Minute))
	var text []byte
	if err == nil {
		text, err = b.out.ReadBytes(0)
	}
	var r reply
	if err == nil {
		err = json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &r)
	}
	if err != nil {
		b.t.Fatalf("waiting for %s: %v", what, err)
	}
	if r.Method != "" {
		b.events = append(b.events, r.event)
	}
	return r
}

// show loads a page in a window of some width.
func (b *browser) show(url string, width int) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	for {
		for i, e := range b.events {
			if e.Method == "Page.loadEventFired" {
				b.events = append(b.events[:i], b.events[i+1:]...)
				return
			}
		}
		b.receive("the page to load")
	}
}

// eval runs a script beside the page's own policy, and reads its value.
func (b *browser) eval(script string, value any) {
	b.t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true, "awaitPromise": true}, &r)
	err := error(nil)
	if r.ExceptionDetails != nil {
		err = fmt.Errorf("%s", r.ExceptionDetails)
	} else {
		err = json.Unmarshal(r.Result.Value, value)
	}
	if err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
}

// screenshot is the page as PNG: all of it, or its first height pixels.
func (b *browser) screenshot(width, height int) []byte {
	b.t.Helper()
	if height == 0 {
		b.eval("document.documentElement.scrollHeight", &height)
	}
	var shot struct{ Data []byte }
	b.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true,
		"clip": map[string]any{"x": 0, "y": 0, "width": width, "height": height, "scale": 1}}, &shot)
	return shot.Data
}
