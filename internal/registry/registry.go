// Package registry asks the registries of images what an image starts, and which labels it has. Kubernetes does not tell: an
// image's configuration is between the kubelet and the container runtime.
package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"golang.org/x/sync/singleflight"
	"k8s.io/utils/lru"
)

const (
	// patience is how long one admission request waits for registries, all its images together.
	patience = 2 * time.Second
	// flightTime is how long a question may take when nobody waits any more: its answer is there for the next try.
	flightTime = 10 * time.Second
	// tagTime is how long a tag counts as meaning the same image for what it starts, and labelTime for its labels, which
	// nothing depends on. Registries count what they are asked: Docker Hub answers a hundred questions in six hours.
	tagTime   = 5 * time.Minute
	labelTime = 24 * time.Hour
	// cached bounds the tags and the images that are remembered, and the others what is remembered of an image.
	cached    = 1024
	maxWords  = 32 << 10
	maxLabel  = 1024 // bytes
	maxLabels = 32
	// parallel bounds the questions at one time.
	parallel = 32
)

// Options are how registries are asked. The zero value is for production.
type Options struct {
	Keychain  authn.Keychain    // default: that of the docker config
	Transport http.RoundTripper // default: one that reaches no address of the node or the cloud's own services
	Patience  time.Duration     // default: 2 s
	Refused   string            // what to do when a registry refuses, for messages; default: the chart's value
	Log       *slog.Logger
}

// Images knows what images start and which labels they have, from a cache that registries fill.
type Images struct {
	options Options
	tags    *lru.Cache // from a reference to its tag
	images  *lru.Cache // from a digest to its configuration
	flights singleflight.Group
	slots   chan struct{}
}

// tag is what a reference meant when it was looked up.
type tag struct {
	digest string
	asked  time.Time
}

// config is what is kept of an image's configuration: what it starts, and the labels that [Images.Labels] gives.
type config struct {
	entrypoint, cmd []string
	labels          map[string]string
}

// New makes an empty cache.
func New(o Options) *Images {
	if o.Keychain == nil {
		o.Keychain = authn.DefaultKeychain
	}
	if o.Transport == nil {
		o.Transport = guarded()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Patience = cmp.Or(o.Patience, patience)
	o.Refused = cmp.Or(o.Refused, "give the webhook a pull secret (chart value registry.pullSecret)")
	return &Images{options: o, tags: lru.New(cached), images: lru.New(cached), slots: make(chan struct{}, parallel)}
}

// For answers the questions of one request: their time runs from the first that no cache answers. Errors are for the one
// who wrote the pod, in words, without what a registry said: it may be any host that a pod names.
func (i *Images) For(ctx context.Context) func(image string) (entrypoint, cmd []string, err error) {
	var deadline time.Time
	return func(image string) ([]string, []string, error) {
		reference, err := name.ParseReference(image)
		if err != nil {
			return nil, nil, errors.New("the image's name can't be read")
		}
		if c, ok := i.known(reference, tagTime); ok {
			return c.entrypoint, c.cmd, nil
		}
		if deadline.IsZero() {
			deadline = time.Now().Add(i.options.Patience)
		}
		ctx, cancel := context.WithDeadline(ctx, deadline)
		defer cancel()
		c, err := i.ask(ctx, reference)
		return c.entrypoint, c.cmd, err
	}
}

// Labels answers the questions of a longer errand, such as a scan, for labels org.opencontainers.image.*. Each image has a time of its
// own; one that is not known is asked for once, and a registry that does not answer in time is asked no more. It is for one
// goroutine. Errors are as those of For.
func (i *Images) Labels(ctx context.Context) func(image string) (map[string]string, error) {
	failed := map[string]error{} // by image, or registry
	return func(image string) (map[string]string, error) {
		reference, err := name.ParseReference(image)
		if err != nil {
			return nil, errors.New("the image's name can't be read")
		}
		if c, ok := i.known(reference, labelTime); ok {
			return c.labels, nil
		}
		registry := reference.Context().RegistryStr()
		if err := cmp.Or(failed[registry], failed[reference.Name()]); err != nil {
			return nil, err
		}
		asking, cancel := context.WithTimeout(ctx, i.options.Patience)
		defer cancel()
		c, err := i.ask(asking, reference)
		if err != nil {
			failed[reference.Name()] = err
			if asking.Err() != nil {
				failed[registry] = err
			}
		}
		return c.labels, err
	}
}

// known answers from the cache, by a tag that was asked for so long ago at most.
func (i *Images) known(reference name.Reference, age time.Duration) (config, bool) {
	digest := ""
	if d, ok := reference.(name.Digest); ok {
		digest = d.DigestStr()
	} else if t, ok := i.tags.Get(reference.Name()); ok && time.Since(t.(tag).asked) < age {
		digest = t.(tag).digest
	}
	found, ok := i.images.Get(digest)
	if !ok {
		return config{}, false
	}
	return found.(config), true
}

// ask waits for the registry as long as the context allows. Who asks for the same image shares the question, which goes on
// when everybody has left.
func (i *Images) ask(ctx context.Context, reference name.Reference) (config, error) {
	registry := reference.Context().RegistryStr()
	answer := i.flights.DoChan(reference.Name(), func() (any, error) {
		if c, ok := i.known(reference, tagTime); ok { // by a flight that ended between our look into the cache and now
			return c, nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), flightTime)
		defer cancel()
		select {
		case i.slots <- struct{}{}:
			defer func() { <-i.slots }()
		case <-ctx.Done():
			return config{}, ctx.Err()
		}
		return i.fetch(ctx, reference)
	})
	select {
	case r := <-answer:
		if r.Err != nil {
			i.options.Log.Warn("reading the configuration of an image failed", "image", reference.Name(), "error", r.Err)
			return config{}, i.explain(registry, r.Err)
		}
		return r.Val.(config), nil
	case <-ctx.Done():
		return config{}, fmt.Errorf("the registry %s has not answered in time; try again", registry)
	}
}
