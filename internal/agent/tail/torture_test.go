package tail_test

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"twelvefold.dev/internal/logs"
)

var (
	tortureLines  = flag.Int("torture.lines", 40_000, "how many lines TestTorture writes")
	tortureReport = flag.String("torture.report", "", "the Markdown file for the results of TestTorture")
)

// A victim is one log of the torture: how it is rotated, and what has become of its lines.
type victim struct {
	kind, name string
	share      int // of the lines
	every      int // lines between two rotations
	rotate     func(t *testing.T, f *logFile)
	long       bool // lines of 1 MB

	dir     string
	written atomic.Int64 // lines
	turns   int          // rotations

	mu                    sync.Mutex
	seen                  []bool
	process               int            // the incarnation whose lines come now
	last                  map[string]int // its last line of every file
	lost, repeats, within int64          // repeats of an earlier incarnation's lines; within: of its own
	disorder, foreign     int64
	traces, whole         int64
}

func victims() []*victim {
	return []*victim{
		{kind: "renamed, with numbers", name: "numbers.log", share: 30, every: 4000, rotate: renumber},
		{kind: "renamed, with dates", name: "dates.log", share: 25, every: 5000, rotate: redate},
		{kind: "copied and truncated", name: "copies.log", share: 20, every: 6000, rotate: copyAndTruncate},
		{kind: "late, under a glob", name: "late-*.txt", share: 25, every: 1000, rotate: nextFile},
		{kind: "lines of 1 MB, renamed", name: "long.log", every: 4, rotate: renumber, long: true},
	}
}

func renumber(t *testing.T, f *logFile) {
	shift(t, f)
	must(t, os.Rename(f.Name(), f.Name()+".1"))
	reopen(t, f, f.Name())
}

// copyAndTruncate does so without a line between both.
func copyAndTruncate(t *testing.T, f *logFile) {
	shift(t, f)
	text, err := os.ReadFile(f.Name())
	must(t, err)
	must(t, os.WriteFile(f.Name()+".1", text, 0o644))
	must(t, f.Truncate(0))
}

// shift makes room for a file with the number 1. It removes none: the sidecar may be behind, and not run.
func shift(t *testing.T, f *logFile) {
	n := 1
	for ; ; n++ {
		if _, err := os.Stat(fmt.Sprintf("%s.%d", f.Name(), n)); err != nil {
			break
		}
	}
	for ; n > 1; n-- {
		must(t, renameThere(fmt.Sprintf("%s.%d", f.Name(), n-1), fmt.Sprintf("%s.%d", f.Name(), n)))
	}
}

// renameThere renames a file unless the sidecar has deleted it.
func renameThere(from, to string) error {
	if err := os.Rename(from, to); !os.IsNotExist(err) {
		return err
	}
	return nil
}

func redate(t *testing.T, f *logFile) {
	stamp := time.Now().Format("20060102T150405.000000000")
	must(t, os.Rename(f.Name(), f.Name()+"-"+stamp))
	reopen(t, f, f.Name())
}

func nextFile(t *testing.T, f *logFile) {
	digits := strings.TrimFunc(filepath.Base(f.Name()), func(r rune) bool { return r < '0' || r > '9' })
	n, err := strconv.Atoi(digits)
	must(t, err)
	reopen(t, f, filepath.Join(filepath.Dir(f.Name()), fmt.Sprintf("late-%d.txt", n+1)))
}

func reopen(t *testing.T, f *logFile, name string) {
	must(t, f.Close())
	opened, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	must(t, err)
	f.File = opened
}

// line is the n-th line of a log: with a number to know it by, and junk in some.
func (v *victim) line(n int) string {
	random := rand.New(rand.NewPCG(uint64(n), uint64(len(v.name))))
	switch {
	case v.long:
		return fmt.Sprintf("%08d %s", n, strings.Repeat(fmt.Sprintf("%07d ", random.IntN(1e7)), 1<<17))
	case n%50 > 45: // the lines of a stack trace
		return fmt.Sprintf("\tat %08d com.example.Cart.add(Cart.java:%d)", n, random.IntN(500))
	case n%101 == 0:
		return fmt.Sprintf("%08d \xff\xfe\x00\x1b[31m\xc3\x28\"\\ %d", n, random.IntN(500))
	default:
		return fmt.Sprintf("%08d %s", n, strings.Repeat("x", random.IntN(200)))
	}
}

// write writes the lines, most of them in one call, some in two.
func (v *victim) write(t *testing.T, lines int) {
	name := strings.Replace(v.name, "*", "0", 1)
	f := create(t, v.dir, name)
	random := rand.New(rand.NewPCG(1, uint64(len(v.name))))
	var batch strings.Builder
	for n := range lines {
		batch.WriteString(v.line(n) + "\n")
		if rotate := n%v.every == v.every-1; rotate || n == lines-1 || v.long || random.IntN(20) == 0 {
			text := batch.String()
			cut := random.IntN(len(text))
			f.print(text[:cut])
			f.print(text[cut:])
			batch.Reset()
			if rotate {
				v.rotate(t, &f)
				v.turns++
			}
		}
		v.written.Add(1)
	}
}

// got takes a line of a file that came out of a sidecar's incarnation, as text where it came as JSON.
func (v *victim) got(process int, file, line string, text bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	digits := strings.TrimPrefix(line, "\tat ")
	n, err := strconv.Atoi(digits[:min(8, len(digits))])
	want := ""
	if err == nil && n < len(v.seen) {
		want = v.line(n)
	}
	if text {
		want = string([]rune(want))
	}
	if want == "" || line != want {
		v.foreign++
		return
	}
	if process != v.process {
		v.process, v.last = process, map[string]int{}
	}
	last, ok := v.last[file]
	switch {
	case ok && n == last:
		v.within++
	case ok && n < last:
		v.disorder++
		v.within++
	case v.seen[n]:
		v.repeats++
	}
	v.seen[n], v.last[file] = true, n
}

// A torture is a pod's sidecar, killed and started again and again, and all that it wrote.
type torture struct {
	t        *testing.T
	agent    string
	state    string
	plan     logs.Plan
	victims  map[string]*victim // by the directory in the envelope
	raw      *victim            // where there is no envelope
	received atomic.Int64
	process  int
	current  *exec.Cmd
	reading  chan struct{}
	maxRSS   int64 // KiB
	cpu      time.Duration
}

// start begins another incarnation. What it writes is read until it ends; a last line that a kill has cut isn't counted.
func (r *torture) start() {
	text, err := json.Marshal(r.plan)
	must(r.t, err)
	r.process++
	c := exec.Command(r.agent, "tail", "--state-dir="+r.state)
	c.Env = []string{logs.PlanEnv + "=" + string(text)}
	c.Stderr = os.Stderr
	if !testing.Verbose() {
		c.Stderr = nil
	}
	stdout, err := c.StdoutPipe()
	must(r.t, err)
	must(r.t, c.Start())
	r.t.Cleanup(func() { c.Process.Kill() })
	r.current, r.reading = c, make(chan struct{})
	go r.read(r.process, stdout, r.reading)
}

func (r *torture) read(process int, stdout io.Reader, done chan<- struct{}) {
	defer close(done)
	lines := bufio.NewReaderSize(stdout, 1<<20)
	for {
		text, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		v, record, file := r.raw, strings.TrimSuffix(text, "\n"), ""
		if v == nil {
			var e struct{ File, Container, Log string }
			if err := json.Unmarshal([]byte(text), &e); err != nil || r.victims[filepath.Dir(e.File)] == nil {
				r.t.Errorf("not an envelope: %.200q: %v", text, err)
				continue
			}
			v, record, file = r.victims[filepath.Dir(e.File)], e.Log, e.File
		}
		at := 0
		for line := range strings.SplitSeq(record, "\n") {
			v.got(process, file, line, v != r.raw)
			r.received.Add(1)
			at++
		}
		if v != r.raw && strings.Contains(record, "\n\tat ") {
			v.traces++
			if at == 5 { // a line and the four that continue it
				v.whole++
			}
		}
	}
}

func (r *torture) wait() error {
	<-r.reading
	err := r.current.Wait()
	r.cpu += r.current.ProcessState.UserTime() + r.current.ProcessState.SystemTime()
	return err
}

// measure notes the most memory that the process has had; what wait4 says of it includes the parent's before the exec.
func (r *torture) measure() {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.current.Process.Pid)) // Linux has it
	if _, after, ok := strings.Cut(string(status), "VmHWM:"); ok {
		var kib int64
		fmt.Sscan(after, &kib)
		r.maxRSS = max(r.maxRSS, kib)
	}
}

func (r *torture) kill() {
	r.measure()
	must(r.t, r.current.Process.Kill())
	r.wait()
	r.start()
}

// run writes all logs at the same time, kills the sidecar so many times while they are written, and lets it drain.
func (r *torture) run(all []*victim, lines, kills int) {
	t := r.t
	r.state = t.TempDir()
	total := 0
	for _, v := range all {
		n := lines * v.share / 100
		if v.long {
			n = max(6, lines/4000)
		}
		v.seen = make([]bool, n)
		total += n
	}
	r.start()
	waitForCheckpoint(t, r.state) // the sidecar starts before the application
	var writers sync.WaitGroup
	for _, v := range all {
		writers.Go(func() { v.write(t, len(v.seen)) })
	}
	written := func() (n int) {
		for _, v := range all {
			n += int(v.written.Load())
		}
		return n
	}
	for k := range kills {
		before := r.received.Load()
		eventually(t, "the time for a kill", func() bool {
			return written() >= total*(k+1)/(kills+2) && r.received.Load() > before
		})
		r.kill()
	}
	writers.Wait()
	before := r.received.Load()
	eventually(t, "the last incarnation listens to signals", func() bool { return r.received.Load() > before || r.done(all) })
	r.measure()
	begin := time.Now()
	must(t, r.current.Process.Signal(syscall.SIGTERM))
	must(t, r.wait())
	t.Logf("drained and gone %v after SIGTERM", time.Since(begin).Round(time.Millisecond))
	for _, v := range all {
		for n, seen := range v.seen {
			if !seen {
				if v.lost++; v.lost <= 3 {
					t.Errorf("%s: line %d is lost", v.name, n)
				}
			}
		}
		if v.foreign > 0 || v.disorder > 0 || v.within > 0 || kills == 0 && v.repeats > 0 {
			t.Errorf("%s: %d lines that nobody wrote, %d out of order, %d twice from one process, %d twice from two", v.name, v.foreign, v.disorder, v.within, v.repeats)
		}
	}
}

func (r *torture) done(all []*victim) bool {
	for _, v := range all {
		v.mu.Lock()
		last := v.seen[len(v.seen)-1]
		v.mu.Unlock()
		if !last {
			return false
		}
	}
	return true
}

// TestTorture compares what was written with what came out of the sidecar's real process, while files are renamed, copied
// and truncated, appear late, hold junk and lines of 1 MB, and the process is killed and started again.
func TestTorture(t *testing.T) {
	agent := filepath.Join(t.TempDir(), "agent")
	build := exec.Command("go", "build", "-o", agent, "twelvefold.dev/cmd/agent")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var report strings.Builder
	for _, c := range []struct {
		name  string
		raw   bool
		kills int
	}{
		{"several files, no kill", false, 0},
		{"several files, 10 kills", false, 10},
		{"one file, 10 kills", true, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &torture{t: t, agent: agent, victims: map[string]*victim{}}
			all := victims()
			if c.raw {
				all = all[:1]
				all[0].share = 100
				r.raw = all[0]
			}
			for i, v := range all {
				v.dir = t.TempDir()
				known := fmt.Sprintf("/var/log/%d", i)
				r.victims[known] = v
				r.plan.Files = append(r.plan.Files, logs.File{Container: "app", Path: known + "/" + v.name, Mount: filepath.Join(v.dir, v.name), MaxDisk: 1 << 20})
			}
			begin := time.Now()
			r.run(all, *tortureLines, c.kills)
			r.tell(&report, c.name, all, time.Since(begin))
		})
	}
	if *tortureReport != "" && !t.Failed() {
		must(t, os.WriteFile(*tortureReport, []byte(reportHead(t)+report.String()), 0o644))
	}
}

func reportHead(t *testing.T) string {
	var u unix.Utsname
	must(t, unix.Uname(&u))
	return fmt.Sprintf(`# What tail loses: nothing

Written by `+"`make torture`"+`, which writes %d lines to the logs of a pod, rotates them while they are written, kills the
sidecar's real process with SIGKILL meanwhile, starts it again with its checkpoint, and compares what was written with what
came out. The writer rotates its own log, so no line is written between a copy and the truncation that follows it: such a line
is lost with every program that reads the log.

* **lost**: lines that never came out. **repeated**: lines that came out of two processes, which a kill may cause.
* **order**: lines that came out after a younger one, or twice, of the same process.
* **traces**: stack traces that came out as one record, of those whose lines belong together; a rotation may part one.

This run: %s, %s, %d processors, Linux %s.
`, *tortureLines, time.Now().UTC().Format(time.DateOnly), runtime.Version(), runtime.NumCPU(), unix.ByteSliceToString(u.Release[:]))
}

func (r *torture) tell(w io.Writer, name string, all []*victim, took time.Duration) {
	fmt.Fprintf(w, "\n## %s\n\n| log | rotations | written | lost | repeated | order | traces |\n|---|---:|---:|---:|---:|---:|---:|\n", strings.ToUpper(name[:1])+name[1:])
	for _, v := range all {
		traces := "" // raw lines don't tell
		if v.traces > 0 {
			traces = fmt.Sprintf("%d of %d", v.whole, v.traces)
		}
		fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %s |\n", v.kind, v.turns, len(v.seen), v.lost, v.repeats, v.disorder+v.within, traces)
	}
	fmt.Fprintf(w, "\n%.1f s, of which the sidecar used %.1f s of a processor; it had at most %d MiB of memory.\n", took.Seconds(), r.cpu.Seconds(), r.maxRSS>>10)
}
