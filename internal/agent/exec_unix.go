//go:build unix

package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"twelvefold.dev/internal/keyvault/envfile"
)

func (a *Agent) execCommand(log *slog.Logger) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:                   "exec [flags] -- COMMAND [ARGUMENT...]",
		DisableFlagsInUseLine: true,
		Short:                 "Become a command that has the secrets in its environment",
		Long: strings.TrimSpace(`
Replaces each @Twelvefold(KEY) in the values of environment variables by the secret that fetch brought for it, once, and
becomes the command. A variable that is nothing but the placeholder of an optional secret that is missing goes.
Arguments, working directory and all other variables stay as they are; a command without a slash is looked for in the
absolute directories of PATH. Signals and the exit code are then the command's own.

Exit codes before that:
   1  a bug in this program
  10  bad configuration: no command, or no readable file of values
 126  the command cannot be run
 127  there is no such command`),
		RunE: func(_ *cobra.Command, argv []string) error {
			err := become(argv, file, a.environ())
			var exit *exitError
			if errors.As(err, &exit) {
				log.Error("cannot run the command", "error", err.Error())
			}
			return err
		},
	}
	c.Flags().StringVar(&file, "values", "/twelvefold/env/"+envfile.ExecFile, "the file of values that fetch wrote")
	c.Flags().SetInterspersed(false) // flags after the command are the command's
	return c
}

func (a *Agent) environ() []string {
	if a.Environ != nil {
		return a.Environ()
	}
	return os.Environ()
}

// become does not return if it succeeds.
func become(argv []string, file string, environ []string) error {
	if len(argv) == 0 {
		return errors.New("there is no command after exec --")
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("cannot read the values of environment variables: %w; the init container twelvefold-fetch writes them to the volume twelvefold-env, which must be mounted here", err)
	}
	values, err := envfile.DecodeExec(content)
	if err != nil {
		return fmt.Errorf("%s: %w; webhook and agent must be of the same version", file, err)
	}
	environ = envfile.Expand(environ, values)
	if err := tooLong(environ); err != nil {
		return &exitError{err, ExitCannotRun}
	}
	path, err := find(argv[0], environ)
	if err != nil {
		return err
	}
	// The standard library's, which gives back the limit of open files that Go's runtime raised.
	err = syscall.Exec(path, argv, environ)
	switch {
	case errors.Is(err, syscall.E2BIG):
		err = errors.New("its arguments and environment together are longer than Linux takes (a quarter of the stack limit)")
	case errors.Is(err, syscall.ENOEXEC):
		err = errors.New("it is no program for this machine (a script begins with #! and its interpreter)")
	case errors.Is(err, fs.ErrNotExist):
		err = errors.New("the interpreter or loader that it names is missing")
	}
	return failedToRun(argv[0], err)
}

// maxVariable is the most that execve takes as NAME=value, with the NUL after it (MAX_ARG_STRLEN).
const maxVariable = 128 << 10

// tooLong names the variables that Linux would not take, which it does not do itself.
func tooLong(environ []string) error {
	var names []string
	for _, variable := range environ {
		if len(variable)+1 > maxVariable {
			name, _, _ := strings.Cut(variable, "=")
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		return fmt.Errorf("the environment variable %s is longer than Linux takes (%d bytes with its name); take the secret as a file, with the annotation file.twelvefold.dev/<file name>",
			strings.Join(names, ", "), maxVariable)
	}
	return nil
}

// defaultPath is what container runtimes give to containers whose image sets none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// find looks a command up as a shell does, but in absolute directories only. Errors don't show PATH, which may hold a secret as well.
func find(command string, environ []string) (path string, err error) {
	if strings.Contains(command, "/") {
		if err := runnable(command); err != nil {
			return "", failedToRun(command, err)
		}
		return command, nil
	}
	search := defaultPath
	for _, variable := range environ {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			search = value
			break // the first counts, as for C's getenv
		}
	}
	notFound := fs.ErrNotExist
	for _, dir := range filepath.SplitList(search) {
		if !filepath.IsAbs(dir) || command == "" {
			continue
		}
		candidate := filepath.Join(dir, command)
		switch err := runnable(candidate); {
		case err == nil:
			return candidate, nil
		case errors.Is(err, errNotExecutable):
			notFound = err // says more, if there is nothing better further on
		}
	}
	return "", failedToRun(command, notFound)
}

var (
	errNotExecutable = errors.New("this user may not execute it")
	errDirectory     = errors.New("it is a directory")
)

// runnable tells why a file cannot be run.
func runnable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return errDirectory
	case unix.Access(path, unix.X_OK) != nil:
		return errNotExecutable
	}
	return nil
}

// failedToRun is the end of exec.
func failedToRun(command string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		where := "there is no such file"
		if !strings.Contains(command, "/") {
			where = "there is no such command in the directories of PATH"
		}
		return &exitError{fmt.Errorf("%s: %s", command, where), ExitNotFound}
	}
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		err = p.Err // the path is the command
	}
	return &exitError{fmt.Errorf("%s: %w", command, err), ExitCannotRun}
}
