// Package registry asks the registries of images what an image starts. Kubernetes does not tell: an image's ENTRYPOINT
// and CMD are between the kubelet and the container runtime.
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
	// tagTime is how long a tag counts as meaning the same image.
	tagTime = 5 * time.Minute
	// cached bounds the tags and the images that are remembered, and maxWords what is remembered of an image.
	cached   = 1024
	maxWords = 32 << 10
	// parallel bounds the questions at one time.
	parallel = 32
)

// Options are how registries are asked. The zero value is for production.
type Options struct {
	Keychain  authn.Keychain    // default: that of the docker config
	Transport http.RoundTripper // default: one that reaches no address of the node or the cloud's own services
	Patience  time.Duration     // default: 2 s
	Log       *slog.Logger
}

// Entrypoints knows what images start, from a cache that registries fill.
type Entrypoints struct {
	options Options
	tags    *lru.Cache // from a reference to its tag
	images  *lru.Cache // from a digest to its start
	flights singleflight.Group
	slots   chan struct{}
}

// tag is what a reference meant when it was looked up.
type tag struct {
	digest string
	until  time.Time
}

// start is what an image starts.
type start struct{ entrypoint, cmd []string }

// New makes an empty cache.
func New(o Options) *Entrypoints {
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
	return &Entrypoints{options: o, tags: lru.New(cached), images: lru.New(cached), slots: make(chan struct{}, parallel)}
}

// For answers the questions of one request: their time runs from the first that no cache answers. Errors are for the one
// who wrote the pod, in words, without what a registry said: it may be any host that a pod names.
func (e *Entrypoints) For(ctx context.Context) func(image string) (entrypoint, cmd []string, err error) {
	var deadline time.Time
	return func(image string) ([]string, []string, error) {
		reference, err := name.ParseReference(image)
		if err != nil {
			return nil, nil, errors.New("the image's name can't be read")
		}
		if s, ok := e.known(reference); ok {
			return s.entrypoint, s.cmd, nil
		}
		if deadline.IsZero() {
			deadline = time.Now().Add(e.options.Patience)
		}
		ctx, cancel := context.WithDeadline(ctx, deadline)
		defer cancel()
		s, err := e.ask(ctx, reference)
		return s.entrypoint, s.cmd, err
	}
}

// known answers from the cache.
func (e *Entrypoints) known(reference name.Reference) (start, bool) {
	digest := ""
	if d, ok := reference.(name.Digest); ok {
		digest = d.DigestStr()
	} else if t, ok := e.tags.Get(reference.Name()); ok && time.Now().Before(t.(tag).until) {
		digest = t.(tag).digest
	}
	found, ok := e.images.Get(digest)
	if !ok {
		return start{}, false
	}
	return found.(start), true
}

// ask waits for the registry as long as the context allows. Who asks for the same image shares the question, which goes on
// when everybody has left.
func (e *Entrypoints) ask(ctx context.Context, reference name.Reference) (start, error) {
	registry := reference.Context().RegistryStr()
	answer := e.flights.DoChan(reference.Name(), func() (any, error) {
		if s, ok := e.known(reference); ok { // by a flight that ended between our look into the cache and now
			return s, nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), flightTime)
		defer cancel()
		select {
		case e.slots <- struct{}{}:
			defer func() { <-e.slots }()
		case <-ctx.Done():
			return start{}, ctx.Err()
		}
		return e.fetch(ctx, reference)
	})
	select {
	case r := <-answer:
		if r.Err != nil {
			e.options.Log.Warn("reading what an image starts failed", "image", reference.Name(), "error", r.Err)
			return start{}, explain(registry, r.Err)
		}
		return r.Val.(start), nil
	case <-ctx.Done():
		return start{}, fmt.Errorf("the registry %s has not answered in time; try again", registry)
	}
}
