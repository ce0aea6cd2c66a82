// Package link puts links to an application's output in the place of its log files.
package link

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"twelvefold.dev/internal/logs"
)

// Run makes the links of a plan. A link that is there already stays; a file in its place is replaced all at once, for
// the pod's init containers may run again.
func Run(plan logs.LinkPlan) error {
	var errs []error
	for _, l := range plan.Links {
		if err := put(l.Mount, l.To); err != nil {
			errs = append(errs, fmt.Errorf("%s of container %s: %w", l.Path, l.Container, err))
		}
	}
	return errors.Join(errs...)
}

func put(name, target string) error {
	if have, err := os.Readlink(name); err == nil && have == target {
		return nil
	}
	if info, err := os.Lstat(name); err == nil && info.IsDir() {
		return errors.New("a directory has the name")
	}
	next := filepath.Join(filepath.Dir(name), ".twelvefold-"+filepath.Base(name))
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, next); err != nil {
		return err
	}
	return os.Rename(next, name)
}
