package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

var (
	errNoLinux = errors.New("the image is not for Linux")
	errTooLong = errors.New("what the image starts is too long")
)

// fetch asks the registry and remembers the answer.
func (i *Images) fetch(ctx context.Context, reference name.Reference) (config, error) {
	descriptor, err := remote.Get(reference, remote.WithContext(ctx), remote.WithAuthFromKeychain(i.options.Keychain),
		remote.WithTransport(bounded{i.options.Transport}), remote.WithUserAgent("twelvefold"))
	if err != nil {
		return config{}, err
	}
	digest := descriptor.Digest.String()
	found, known := i.images.Get(digest)
	if !known {
		if found, err = read(descriptor); err != nil {
			return config{}, err
		}
		i.images.Add(digest, found)
	}
	i.tags.Add(reference.Name(), tag{digest, time.Now()})
	return found.(config), nil
}

// read takes what is kept from an image's configuration.
func read(descriptor *remote.Descriptor) (config, error) {
	image, err := imageOf(descriptor)
	if err != nil {
		return config{}, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return config{}, err
	}
	c := config{entrypoint: file.Config.Entrypoint, cmd: file.Config.Cmd, labels: map[string]string{}}
	for key, value := range file.Config.Labels {
		if strings.HasPrefix(key, "org.opencontainers.image.") && len(key)+len(value) <= maxLabel && len(c.labels) < maxLabels {
			c.labels[key] = value
		}
	}
	size := 0
	for _, words := range [][]string{c.entrypoint, c.cmd} {
		for _, w := range words {
			size += len(w)
		}
	}
	if size > maxWords {
		return config{}, errTooLong
	}
	return c, nil
}

// imageOf is the image for the webhook's own architecture, or else the first for Linux: those of one name start the same.
func imageOf(descriptor *remote.Descriptor) (v1.Image, error) {
	if !descriptor.MediaType.IsIndex() {
		return descriptor.Image()
	}
	index, err := descriptor.ImageIndex()
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var chosen *v1.Descriptor
	for i, m := range manifest.Manifests {
		if m.Platform == nil || m.Platform.OS != "linux" || !m.MediaType.IsImage() {
			continue
		}
		if chosen == nil || m.Platform.Architecture == runtime.GOARCH && chosen.Platform.Architecture != runtime.GOARCH {
			chosen = &manifest.Manifests[i]
		}
	}
	if chosen == nil {
		return nil, errNoLinux
	}
	return index.Image(chosen.Digest)
}

// explain says in words why a registry gave no answer.
func (i *Images) explain(registry string, err error) error {
	refused := new(transport.Error)
	status := 0
	if errors.As(err, &refused) {
		status = refused.StatusCode
	}
	for _, known := range []error{errNoLinux, errTooLong, errHuge} {
		if errors.Is(err, known) {
			return known
		}
	}
	switch {
	case status == http.StatusNotFound:
		return fmt.Errorf("the registry %s has no such image", registry)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fmt.Errorf("the registry %s refuses to answer; %s", registry, i.options.Refused)
	case status == http.StatusTooManyRequests:
		return fmt.Errorf("the registry %s is asked too often; try again", registry)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the registry %s has not answered in time; try again", registry)
	}
	return fmt.Errorf("the registry %s can't be asked", registry)
}
