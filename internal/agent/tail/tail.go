// Package tail streams an application's log files to stdout, at least once and in order.
//
// It is what the native sidecar twelvefold-tail does: it starts before the application and ends after it. The files
// themselves are the buffer: what stdout doesn't take stays on the disk, a line is read again until its end is there,
// and memory doesn't grow with a line, with a file or with the time that stdout blocks.
package tail

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"twelvefold.dev/internal/logs"
)

// Options adjust [Run]. The zero value is ready for use.
type Options struct {
	// StateDir keeps the checkpoints over a restart of the container. It should live as long as the pod: while it holds
	// none, rotated files are taken for those of an earlier pod and left alone. Without a StateDir a restart repeats all.
	StateDir string
	// Poll is the time between two looks at the directories while something goes on there. Default 200 ms.
	Poll time.Duration
	// Quiet is how long a rotated file must not have grown before it counts as finished. Default 5 s.
	Quiet time.Duration
	// MaxDisk is how many bytes all files may take before finished rotated ones are deleted, the oldest first; the plan may
	// say so for single files. Copies, which copytruncate makes, are never deleted.
	// Where the plan has a glob, a file also counts as rotated 120 Quiet after a file took its place whose name differs
	// in digits only. 0 deletes nothing.
	MaxDisk int64
	// Stats, if set, is kept up to date.
	Stats *Stats
}

// MaxWrite is the longest record in bytes that is sure to be one write.
const MaxWrite = 256 << 10

// Run streams the plan's files to stdout: as they are if the plan names one, else each record as a line of JSON with the
// members file, container and log. It runs until ctx ends, which says that the application has ended: then it reads all
// files to their ends and returns. An error says that the plan is empty or that stdout failed.
//
// A record is a line with the lines that continue it, as in a stack trace. A write takes one or several whole records; only
// a line longer than [MaxWrite] takes several writes, and is passed on whole, too.
func Run(ctx context.Context, plan logs.Plan, stdout io.Writer, log *slog.Logger, opts Options) error {
	if len(plan.Files) == 0 {
		return errors.New("the plan names no file")
	}
	t := newTailer(plan, stdout, log, opts)
	ctx, cancel := context.WithCancel(ctx)
	wake := make(chan struct{}, 1)
	var watching sync.WaitGroup
	watching.Go(func() { t.watch(ctx, wake) })
	defer watching.Wait()
	defer cancel()

	for {
		select {
		case <-wake:
			if err := t.readAll(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return t.drain()
		}
	}
}

// A tailer has two goroutines: one watches the directories and opens what appears there, the other reads and writes.
type tailer struct {
	log        *slog.Logger
	opts       Options
	stats      *Stats
	stdout     *sink
	notifier   *notifier
	buf        []byte
	saved      time.Time
	savedBytes int64
	dirty      bool // since saved
	streams    []*stream
	mu         sync.Mutex // guards all below and the streams; not held during a write to stdout
	fresh      bool       // the first look, in a new pod
	draining   bool       // the application has ended
	troubles   map[string]string
}

func newTailer(plan logs.Plan, stdout io.Writer, log *slog.Logger, opts Options) *tailer {
	opts.Poll = cmp.Or(opts.Poll, 200*time.Millisecond)
	opts.Quiet = cmp.Or(opts.Quiet, 5*time.Second)
	opts.Stats = cmp.Or(opts.Stats, new(Stats))
	t := &tailer{log: log, opts: opts, stats: opts.Stats, buf: make([]byte, markSize+MaxWrite), troubles: map[string]string{}}
	for _, f := range plan.Files {
		t.streams = append(t.streams, newStream(f))
	}
	t.stats.entries.Store(&t.streams)
	t.stdout = &sink{w: stdout, mu: &t.mu, envelope: plan.Envelope(), stats: t.stats}
	var dirs []string
	for _, s := range t.streams {
		dirs = append(dirs, s.dir)
	}
	t.notifier = newNotifier(dirs) // before the first look, so that nothing comes between
	t.restore()
	t.scanAll()
	t.fresh = false
	t.save() // from now on a rotated file that is new was rotated in this pod
	return t
}

// watch looks at the directories and wakes the reader: at every [Options.Poll] while something goes on, else when the
// kernel tells of a write, and seldom, since it doesn't tell of all. It always tells of names that come and go.
func (t *tailer) watch(ctx context.Context, wake chan<- struct{}) {
	defer t.notifier.close()
	for {
		looked := time.Now()
		select {
		case wake <- struct{}{}:
		default: // still reading
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(t.pause()):
		case <-t.notifier.events:
			select {
			case <-ctx.Done():
				return
			case <-time.After(min(busyPause, t.opts.Poll) - time.Since(looked)):
			}
		}
		t.mu.Lock()
		t.scanAll()
		t.mu.Unlock()
	}
}

// pause returns how long the next look can wait, unless the kernel tells of something.
func (t *tailer) pause() time.Duration {
	t.mu.Lock()
	idle := t.idle()
	t.mu.Unlock()
	told := t.notifier.writes
	switch all := t.notifier.watch(idle); {
	case !idle || !all:
		return t.opts.Poll
	case !told:
		return 0 // something may have been written before it was watched
	default:
		return idlePolls * t.opts.Poll
	}
}

// busyPause is the least time between two looks: a directory where names come and go all the time mustn't keep us busy.
const busyPause = 10 * time.Millisecond

// idlePolls is how many times more seldom an idle directory is looked at.
const idlePolls = 10

// readAll reads all files until none has more.
func (t *tailer) readAll(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for more := true; more && ctx.Err() == nil; {
		var err error
		if more, err = t.pass(open); err != nil {
			return err
		}
	}
	t.save()
	return nil
}

// drain reads all files to their ends, and only then takes what has no newline for a line.
func (t *tailer) drain() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draining = true
	for _, end := range []ending{open, final} {
		for more := true; more; {
			t.scanAll()
			var err error
			if more, err = t.pass(end); err != nil {
				return err
			}
		}
	}
	t.save()
	t.scanAll() // the lag is zero now
	for _, s := range t.streams {
		if len(s.files) == 0 {
			t.log.Warn("no log file appeared", "file", s.plan.Path, "container", s.plan.Container)
		}
	}
	return nil
}

// pass gives every file a turn and reports whether there may be more to read.
func (t *tailer) pass(end ending) (more bool, err error) {
	for _, s := range t.streams {
		again, err := t.passStream(s, end)
		if err != nil {
			return false, err
		}
		more = more || again
	}
	return more, nil
}

func (t *tailer) passStream(s *stream, end ending) (more bool, err error) {
	unfinished := map[string]bool{} // logs whose older generation must be read first
	for _, f := range slices.Clone(s.files) {
		if f.copyOf != nil {
			t.settleCopy(s, f)
			f = cmp.Or(f.copyOf, f) // only the original can tell whether its copy is needed, and younger files come after both
		}
		if f.f == nil || unfinished[f.name] {
			continue
		}
		again, err := t.turn(s, f, end)
		switch {
		case errors.Is(err, errTruncated):
			t.truncated(s, f)
			return true, nil // the order is another now
		case errors.Is(err, errNotNext):
			return true, nil
		case err != nil:
			return false, err
		case f.offset != f.end:
			unfinished[f.name] = f.rotated()
		case t.finished(s, f):
			s.release(f)
			f.close()
		}
		more = more || again
	}
	return more, nil
}

// settleCopy lets go of a copy that has nothing its original didn't have when it was read. One that proves to be none is read.
func (t *tailer) settleCopy(s *stream, c *file) {
	original := c.copyOf
	info, err := c.f.Stat()
	if err != nil || original.f == nil || !t.draining && time.Since(c.grown) <= t.opts.Quiet {
		return
	}
	if info.Size() > original.offset {
		if t.draining && original.offset == original.end { // it would have been truncated by now
			s.release(original)
		}
		return
	}
	if !original.mark.at(original.f, original.offset-int64(original.mark.Len)) {
		return // truncated: its next turn notices
	}
	c.copyOf = nil
	if end := markBefore(c.f, info.Size()); end.at(original.f, info.Size()-int64(end.Len)) {
		c.jump(info.Size())
	} else {
		c.reset()
	}
}

// finished reports whether nobody writes to a file any more that was read to its end.
func (t *tailer) finished(s *stream, f *file) bool {
	quiet := time.Since(f.grown)
	return quiet > t.opts.Quiet && f.rotated() || quiet > 120*t.opts.Quiet && s.superseded(f)
}

// warn logs a path's trouble once, until it is over or another.
func (t *tailer) warn(path string, err error) {
	if err == nil {
		delete(t.troubles, path)
		return
	}
	if cause := err.Error(); t.troubles[path] != cause {
		t.troubles[path] = cause
		t.log.Warn("cannot read; trying on", "path", path, "error", cause)
	}
}
