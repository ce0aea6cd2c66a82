package agent

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"twelvefold.dev/internal/keyvault"
)

const (
	envMode  = 0o400 // the kubelet reads it as root
	fileMode = 0o444 // readers run as other users
)

func writeEnvFile(name string, content []byte) error {
	dir, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	return install(dir, filepath.Base(name), content, envMode)
}

// writeFiles writes the planned files below dir. Of an optional secret that is missing, the file of an earlier run goes.
func writeFiles(dir string, items []keyvault.FileItem, values values) error {
	root, err := os.OpenRoot(dir) // nothing that another container linked here leads outside
	if err != nil {
		return err
	}
	defer root.Close()
	for _, item := range items {
		value, ok := values[item.Reference]
		if !ok {
			if err := root.Remove(item.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		mode := fs.FileMode(item.Mode)
		if mode == 0 {
			mode = fileMode
		}
		if err := install(root, item.Path, value, mode); err != nil {
			return err
		}
	}
	return nil
}

// install writes a file whole or not at all: a reader sees the old content or the new.
func install(root *os.Root, name string, content []byte, mode fs.FileMode) (err error) {
	dir := path.Dir(name)
	if err := root.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	temporary := path.Join(dir, "."+path.Base(name)+".new")
	if err := root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a run that was killed
		return err
	}
	file, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Chmod(mode), file.Close()) // Chmod, since the umask doesn't bind it
	if err == nil {
		err = root.Rename(temporary, name)
	}
	if err != nil {
		_ = root.Remove(temporary) // the first error is the one to report
	}
	return err
}

// maxTermination is how much of a termination message the kubelet keeps.
const maxTermination = 4096

// writeTerminationMessage says what went wrong, in what kubectl describe shows. The file is a mount, so it is written in place.
func writeTerminationMessage(name string, lines []string) error {
	message := "twelvefold fetch:\n- " + strings.Join(lines, "\n- ") + "\n"
	if len(message) > maxTermination {
		const more = "…\n(more in the log of this container)\n"
		message = message[:maxTermination-len(more)]
		for !utf8.ValidString(message) {
			message = message[:len(message)-1]
		}
		message += more
	}
	return os.WriteFile(name, []byte(message), 0o644)
}
