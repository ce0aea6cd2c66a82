package agent

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Harden keeps the memory of this process out of core dumps, and from other processes of its user.
func Harden() error {
	return errors.Join(
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0),
	)
}
