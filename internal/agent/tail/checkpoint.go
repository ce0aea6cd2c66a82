package tail

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	checkpointName    = "tail.json"
	checkpointVersion = 1
)

// checkpoint is what a restarted tail knows of the files it followed. It holds no text of a log.
type checkpoint struct {
	Version int               `json:"version"`
	Files   []checkpointEntry `json:"files"`
}

type checkpointEntry struct {
	Stream string `json:"stream"` // the plan's path in the sidecar
	Name   string `json:"name"`
	identity
	Offset int64 `json:"offset"`
	Head   mark  `json:"head"`
	Mark   mark  `json:"mark"`
	Old    bool  `json:"old,omitempty"`
	Copy   bool  `json:"copy,omitempty"`
}

// parseCheckpoint refuses what this version would not have written; the caller then starts over, which repeats lines
// and loses none.
func parseCheckpoint(text []byte) (checkpoint, error) {
	var c checkpoint
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return checkpoint{}, err
	}
	if c.Version != checkpointVersion {
		return checkpoint{}, fmt.Errorf("version %d, not %d", c.Version, checkpointVersion)
	}
	for i, e := range c.Files {
		switch {
		case e.Name == "" || e.Name != filepath.Base(e.Name) || !filepath.IsAbs(e.Stream):
			return checkpoint{}, fmt.Errorf("files[%d]: stream %q, name %q", i, e.Stream, e.Name)
		case !e.Mark.fits(e.Offset) || !e.Head.fits(e.Offset):
			return checkpoint{}, fmt.Errorf("files[%d]: offset %d doesn't fit its fingerprints", i, e.Offset)
		}
	}
	return c, nil
}

// loadCheckpoint returns fs.ErrNotExist where no tail has run with this directory before.
func loadCheckpoint(dir string) (checkpoint, error) {
	text, err := os.ReadFile(filepath.Join(dir, checkpointName))
	if err != nil {
		return checkpoint{}, err
	}
	c, err := parseCheckpoint(text)
	if err != nil {
		return checkpoint{}, fmt.Errorf("checkpoint %s: %w", filepath.Join(dir, checkpointName), err)
	}
	return c, nil
}

// save replaces the checkpoint in one step. It isn't synced: it has to survive this process, and a node's crash ends the pod.
func (c checkpoint) save(dir string) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, checkpointName)
	err = os.WriteFile(path+".new", text, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(dir, 0o700); err == nil {
			err = os.WriteFile(path+".new", text, 0o600)
		}
	}
	if err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// restore takes up what an earlier run has left.
func (t *tailer) restore() {
	if t.opts.StateDir == "" {
		return
	}
	c, err := loadCheckpoint(t.opts.StateDir)
	if errors.Is(err, fs.ErrNotExist) {
		t.fresh = true
		return
	}
	t.warn(t.opts.StateDir, err)
	for _, e := range c.Files {
		for _, s := range t.streams {
			if s.plan.Mount == e.Stream {
				s.names[e.Name] = true
				s.files = append(s.files, &file{
					identity: e.identity, name: e.Name, prefix: s.prefix(e.Name), restored: true,
					offset: e.Offset, head: e.Head, mark: e.Mark, old: e.Old, copied: e.Copy, stats: s.stats,
				})
				break
			}
		}
	}
}

// save writes a checkpoint if there is something new. It comes after the write to stdout: lines may come twice, none gets lost.
func (t *tailer) save() {
	if t.opts.StateDir == "" || !t.dirty && !t.saved.IsZero() {
		return
	}
	c := checkpoint{Version: checkpointVersion}
	for _, s := range t.streams {
		for _, f := range s.files {
			c.Files = append(c.Files, checkpointEntry{
				Stream: s.plan.Mount, Name: f.name, identity: f.identity,
				Offset: f.offset, Head: f.head, Mark: f.mark, Old: f.old, Copy: f.copied,
			})
		}
	}
	t.warn(t.opts.StateDir, c.save(t.opts.StateDir))
	t.saved, t.savedBytes, t.dirty = time.Now(), t.stats.Bytes.Load(), false
}
