package bench

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
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"twelvefold.dev/internal/logs"
)

const tailedLines = 3_000_000 // 570 MB, so that the start of a program doesn't count

// BenchmarkTail compares the agent's tail with programs that do the same or less, each a process of its own that brings a
// file of some million lines through a pipe: cat only copies; rsyslog is there where it is installed.
func BenchmarkTail(b *testing.B) {
	dir := b.TempDir()
	name := filepath.Join(dir, "app.log")
	writeLines(b, name)
	agent := build(b, runtime.GOOS, "./cmd/agent")
	tail := func(names ...string) func(string) (string, []string, []string) {
		var plan logs.Plan
		for _, n := range names {
			plan.Files = append(plan.Files, logs.File{Container: "app", Path: "/var/log/app/" + n, Mount: filepath.Join(dir, n)})
		}
		text, err := json.Marshal(plan)
		if err != nil {
			b.Fatal(err)
		}
		return func(state string) (string, []string, []string) {
			return agent, []string{"tail", "--state-dir=" + state}, []string{logs.PlanEnv + "=" + string(text)}
		}
	}
	programs := []*tailed{
		{name: "cat", command: func(string) (string, []string, []string) { return "cat", []string{name}, nil }},
		{name: "tail-F", command: func(string) (string, []string, []string) { return "tail", []string{"-n", "+1", "-F", name}, nil }},
		{name: "rsyslog", command: func(state string) (string, []string, []string) { return rsyslog(b, state, name) }},
		{name: "agent", command: tail("app.log")},
		{name: "agent-envelope", command: tail("app.log", "other.log")},
	}
	for range tailRounds { // in turn, so that what else the machine does meets all
		for _, p := range programs {
			if program, args, env := p.command(b.TempDir()); program != "" {
				wall, cpu, kib := carry(b, program, args, env)
				p.wall, p.cpu, p.kib = append(p.wall, wall), append(p.cpu, cpu), max(p.kib, kib)
			}
		}
	}
	for _, p := range programs {
		b.Run(p.name, func(b *testing.B) {
			if len(p.wall) == 0 {
				b.Skip("it is not installed")
			}
			for b.Loop() {
			}
			b.ReportMetric(tailedLines/slices.Min(p.wall).Seconds(), "lines/s")
			b.ReportMetric(slices.Min(p.cpu).Seconds()/tailedLines*1e6, "cpu-s/Mlines")
			b.ReportMetric(float64(p.kib)/1024, "MiB")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// tailRounds is how often each program runs; the best of them counts.
const tailRounds = 5

type tailed struct {
	name      string
	command   func(state string) (name string, args, env []string)
	wall, cpu []time.Duration
	kib       int
}

func writeLines(b *testing.B, name string) {
	b.Helper()
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	text := bufio.NewWriterSize(f, 1<<20)
	for n := range tailedLines {
		fmt.Fprintf(text, "2026-11-23T18:57:01.123Z INFO [http-nio-8080-exec-1] com.example.shop.Checkout - order %d placed in 12 ms %s\n", n, strings.Repeat("x", n%160))
	}
	if err := errors.Join(text.Flush(), f.Close()); err != nil {
		b.Fatal(err)
	}
}

// carry runs a program until it has written all lines.
func carry(b *testing.B, program string, args, env []string) (wall, cpu time.Duration, kib int) {
	b.Helper()
	c := exec.CommandContext(b.Context(), program, args...)
	c.Env, c.Stderr = append(os.Environ(), env...), os.Stderr
	stdout, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	begin := time.Now()
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	buf, lines := make([]byte, 64<<10), 0
	for last := false; lines < tailedLines && !last; {
		n, err := stdout.Read(buf)
		lines += bytes.Count(buf[:n], []byte{'\n'})
		if last = err != nil; last && err != io.EOF {
			b.Fatal(err)
		}
	}
	wall = time.Since(begin)
	if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid)); err == nil {
		if _, after, ok := strings.Cut(string(status), "VmHWM:"); ok {
			fmt.Sscan(after, &kib)
		}
	}
	c.Process.Signal(syscall.SIGTERM) // cat has ended by itself, tail ends by this signal
	more, err := io.Copy(io.Discard, stdout)
	if err != nil || more > 0 || lines != tailedLines {
		b.Fatalf("%s: %d lines, then %d bytes: %v", program, lines, more, err)
	}
	c.Wait()
	return wall, c.ProcessState.UserTime() + c.ProcessState.SystemTime(), kib
}

func rsyslog(b *testing.B, state, name string) (program string, args, env []string) {
	program = "/usr/sbin/rsyslogd"
	if _, err := os.Stat(program); err != nil {
		return "", nil, nil
	}
	conf := filepath.Join(state, "conf")
	text := fmt.Sprintf(`global(workDirectory=%q)
module(load="imfile")
template(name="line" type="string" string="%%msg%%\n")
ruleset(name="out") { action(type="omfile" file="/dev/stdout" template="line") }
input(type="imfile" file=%q tag="app" ruleset="out")
`, state, name)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	return program, []string{"-n", "-f", conf, "-i", filepath.Join(state, "pid")}, nil
}

// BenchmarkIdleTail tells what the agent's tail costs while nothing is written.
func BenchmarkIdleTail(b *testing.B) {
	dir := b.TempDir()
	name := filepath.Join(dir, "app.log")
	if err := os.WriteFile(name, []byte("a line\n"), 0o644); err != nil {
		b.Fatal(err)
	}
	text, err := json.Marshal(logs.Plan{Files: []logs.File{{Container: "app", Path: "/var/log/app.log", Mount: name}}})
	if err != nil {
		b.Fatal(err)
	}
	agent := build(b, runtime.GOOS, "./cmd/agent")
	var idle, brief time.Duration
	for b.Loop() {
		for _, c := range []struct {
			cpu  *time.Duration
			long time.Duration
		}{{&brief, time.Second}, {&idle, 11 * time.Second}} {
			command := exec.CommandContext(b.Context(), agent, "tail", "--state-dir="+b.TempDir())
			command.Env = []string{logs.PlanEnv + "=" + string(text)}
			stdout, err := command.StdoutPipe()
			if err != nil {
				b.Fatal(err)
			}
			if err := command.Start(); err != nil {
				b.Fatal(err)
			}
			if _, err := stdout.Read(make([]byte, 100)); err != nil {
				b.Fatal(err)
			}
			time.Sleep(c.long) // what is measured
			command.Process.Signal(syscall.SIGTERM)
			if err := command.Wait(); err != nil {
				b.Fatal(err)
			}
			*c.cpu += command.ProcessState.UserTime() + command.ProcessState.SystemTime()
		}
	}
	b.ReportMetric(float64((idle-brief).Microseconds())/1000/10/float64(b.N), "cpu-ms/idle-s")
	b.ReportMetric(0, "ns/op")
}
