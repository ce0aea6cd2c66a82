package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"twelvefold.dev/internal/keyvault"
)

// executableName is what exec is called by in containers.
const executableName = "twelvefold-agent"

func envMode(p keyvault.Plan) fs.FileMode {
	if p.Exec {
		return 0o444 // containers run as other users
	}
	return 0o400 // the kubelet reads it as root
}

func modeOf(item keyvault.FileItem) fs.FileMode {
	if item.Mode == 0 {
		return 0o444 // readers run as other users
	}
	return fs.FileMode(item.Mode)
}

func writeEnvFile(name string, content []byte, mode fs.FileMode) error {
	dir, err := os.OpenRoot(filepath.Dir(name)) // nothing that another container linked here leads outside
	if err != nil {
		return err
	}
	defer dir.Close()
	return install(dir, filepath.Base(name), bytes.NewReader(content), mode)
}

// copyExecutable lets the containers run this program. A copy that is there already is left alone: it may be running, and the volume
// need not have room for two.
func (d *delivery) copyExecutable() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	source, err := os.Open(self)
	if err != nil {
		return err
	}
	defer source.Close()
	dir, err := os.OpenRoot(d.binDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if same(dir, executableName, source) {
		return nil
	}
	if _, err := source.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return install(dir, executableName, source, 0o755)
}

// same reports whether an executable with the content of source is there.
func same(dir *os.Root, name string, source io.Reader) bool {
	file, err := dir.Open(name)
	if err != nil {
		return false
	}
	defer file.Close()
	if info, err := dir.Lstat(name); err != nil || info.Mode() != 0o755 {
		return false
	}
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := io.ReadFull(file, a)
		m, errB := io.ReadFull(source, b)
		if !bytes.Equal(a[:n], b[:m]) {
			return false
		}
		if errA != nil || errB != nil {
			return n == m && errors.Is(errA, errB)
		}
	}
}

// install writes a file whole or not at all: a reader sees the old content or the new.
func install(dir *os.Root, name string, content io.Reader, mode fs.FileMode) (err error) {
	temporary := "." + name + ".new"
	if err := dir.RemoveAll(temporary); err != nil { // of a run that was killed
		return err
	}
	file, err := dir.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	err = errors.Join(err, file.Chmod(mode), file.Close()) // Chmod, since the umask doesn't bind it
	if err == nil {
		err = dir.Rename(temporary, name)
	}
	if err != nil {
		_ = dir.Remove(temporary) // the first error is the one to report
	}
	return err
}

// maxTermination is how much of a termination message the kubelet keeps.
const maxTermination = 4096

// writeTerminationMessage says what went wrong, in what kubectl describe shows. The file is a mount, so it is written in place.
func writeTerminationMessage(name, command string, lines []string) error {
	message := fmt.Sprintf("twelvefold %s:\n- %s\n", command, strings.Join(lines, "\n- "))
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
