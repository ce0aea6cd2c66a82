package agent

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"

	"twelvefold.dev/internal/agent/atomicdir"
	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/azure"
)

// refresh brings new versions into the files. What can't be had or written leaves the old files, and is tried again at the next poll.
func (p *poll) refresh(ctx context.Context, changed []keyvault.Reference) {
	fresh := p.values(ctx, changed)
	fresh = p.withLost(ctx, fresh)
	stuck := map[keyvault.Object]bool{}
	for _, volume := range volumesOf(p.todo) {
		if !p.concerns(volume, fresh) {
			continue
		}
		files, err := p.filesWith(volume, fresh)
		if err == nil {
			err = p.writeVolume(volume, files)
		}
		if err != nil {
			p.failed(err)
			for _, item := range p.todo.Files {
				stuck[item.Object()] = stuck[item.Object()] || item.Volume == volume
			}
		}
	}
	noted := false
	for object, content := range fresh.contents {
		if stuck[object] {
			continue
		}
		if p.known[object] != content.Version {
			p.log.Info("refreshed", "object", object.String(), "version", content.Version)
		}
		p.known[object], noted = content.Version, true
		delete(p.unknown, object)
	}
	if noted {
		if err := p.note(p.todo, p.known); err != nil { // it costs a request after a restart of this container
			p.failed(err)
		}
	}
}

// fresh is what was read anew.
type fresh struct {
	contents azure.Contents
	values   values
}

// values reads and renders objects, each on its own: one that can't be had doesn't hold up the others.
func (p *poll) values(ctx context.Context, objects []keyvault.Reference) fresh {
	out := fresh{azure.Contents{}, values{}}
	p.each(objects, func(_ int, r keyvault.Reference) {
		contents, err := p.client.Fetch(ctx, []keyvault.Reference{r})
		if err != nil {
			p.failed(err)
			return
		}
		var uses []keyvault.Reference
		for _, item := range p.todo.Files {
			if item.Object() == r.Object() {
				uses = append(uses, item.Reference)
			}
		}
		rendered, err := render(uses, contents)
		if err != nil {
			p.failed(err)
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		maps.Copy(out.contents, contents)
		maps.Copy(out.values, rendered)
	})
	return out
}

// withLost adds the objects whose files, beside changed ones, are not there to be kept.
func (p *poll) withLost(ctx context.Context, f fresh) fresh {
	var lost []keyvault.Reference
	for _, item := range p.todo.Files {
		if _, ok := f.contents[item.Object()]; ok || p.known[item.Object()] == "" || !p.concerns(item.Volume, f) {
			continue
		}
		if _, err := p.old(item); err != nil {
			lost = append(lost, item.Reference)
		}
	}
	if len(lost) == 0 {
		return f
	}
	more := p.values(ctx, lost)
	maps.Copy(f.contents, more.contents)
	maps.Copy(f.values, more.values)
	return f
}

// concerns reports whether there is something new for a volume.
func (p *poll) concerns(volume string, f fresh) bool {
	for _, item := range p.todo.Files {
		if _, ok := f.values[item.Reference]; ok && item.Volume == volume {
			return true
		}
	}
	return false
}

// filesWith are a volume's files: the fresh ones, and the others as they are.
func (p *poll) filesWith(volume string, f fresh) ([]atomicdir.File, error) {
	all := values{}
	for _, item := range p.todo.Files {
		if item.Volume != volume {
			continue
		}
		value, ok := f.values[item.Reference]
		if !ok {
			old, err := p.old(item)
			if errors.Is(err, fs.ErrNotExist) && p.known[item.Object()] == "" {
				continue // an optional object that is missing
			}
			if err != nil {
				return nil, volumeError(volume, err)
			}
			value = old
		}
		all[item.Reference] = value
	}
	return filesOf(p.todo, volume, all), nil
}

// old reads a file as it is.
func (p *poll) old(item keyvault.FileItem) ([]byte, error) {
	root, err := os.OpenRoot(p.volumeDir(item.Volume))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.ReadFile(item.Path)
}
