package tail

import (
	"os"

	"golang.org/x/sys/unix"
)

// A notifier tells that something has happened in the directories: that names came or went, and writes where asked for.
type notifier struct {
	events chan struct{}
	dirs   []string
	writes bool
	fd     int
	file   *os.File // of fd; nil where the kernel has no more instances to give
	done   chan struct{}
}

func newNotifier(dirs []string) *notifier {
	n := &notifier{events: make(chan struct{}, 1), dirs: dirs, done: make(chan struct{})}
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return n
	}
	n.fd, n.file = fd, os.NewFile(uintptr(fd), "inotify")
	n.watch(false)
	go n.listen()
	return n
}

// listen drops what the events say: a look at the directories tells more, and nothing can be missed that way.
func (n *notifier) listen() {
	defer close(n.done)
	buf := make([]byte, 16<<10)
	for {
		if _, err := n.file.Read(buf); err != nil {
			return
		}
		select {
		case n.events <- struct{}{}:
		default:
		}
	}
}

// watch says whether writes shall be told of, and reports whether all directories are there to be watched. It must be
// repeated now and then: a directory may be another by now.
func (n *notifier) watch(writes bool) (all bool) {
	if n.file == nil {
		return false
	}
	mask := uint32(unix.IN_CREATE | unix.IN_MOVE | unix.IN_DELETE | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ATTRIB | unix.IN_ONLYDIR)
	if writes {
		mask |= unix.IN_MODIFY
	}
	all = true
	for _, dir := range n.dirs {
		if _, err := unix.InotifyAddWatch(n.fd, dir, mask); err != nil {
			all = false
		}
	}
	n.writes = writes
	return all
}

func (n *notifier) close() {
	if n.file != nil {
		n.file.Close()
		<-n.done
	}
}
