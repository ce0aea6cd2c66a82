package azure

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"twelvefold.dev/internal/keyvault"
)

// parallel bounds the requests in flight: a vault takes 4000 in 10 seconds from all pods together.
const parallel = 4

// Contents are what was fetched. An optional object that is missing is not in them.
type Contents map[keyvault.Object]keyvault.Content

// Fetch gets the newest or the named version of every object, each distinct one once. It retries what may pass until ctx's deadline.
// The error is nil or [Failures] and tells of every object that could not be had; one that is missing where all its uses are optional is no failure.
func (c *Client) Fetch(ctx context.Context, references []keyvault.Reference) (Contents, error) {
	wanted := distinct(references)
	contents := make([]*keyvault.Content, len(wanted))
	failures := make(Failures, len(wanted))
	f := fetching{Client: c}
	sleep(ctx, c.Retry.jitter())
	var g errgroup.Group
	g.SetLimit(parallel)
	for i, s := range wanted {
		g.Go(func() error {
			contents[i], failures[i] = f.fetchOne(ctx, s)
			return nil // the others' failures are wanted too
		})
	}
	_ = g.Wait()

	if failures = failures.distinct(); len(failures) > 0 {
		return nil, failures
	}
	out := Contents{}
	for i, s := range wanted {
		if contents[i] != nil {
			out[s.Object()] = *contents[i]
		}
	}
	return out, nil
}

// fetching is one call of Fetch.
type fetching struct {
	*Client
	refused sync.Map // by vault's host: the *Failure of an identity that is of no use there, so that nobody tries it once more
}

// distinct merges the uses of an object: it is optional if all of them are.
func distinct(references []keyvault.Reference) []keyvault.Reference {
	var out []keyvault.Reference
	for _, r := range references {
		if i := slices.IndexFunc(out, func(o keyvault.Reference) bool { return o.Object() == r.Object() }); i >= 0 {
			out[i].Optional = out[i].Optional && r.Optional
			continue
		}
		out = append(out, r)
	}
	return out
}

// fetchOne gets one secret, however many attempts that takes. Both results are nil for an optional secret that is missing.
func (c *fetching) fetchOne(ctx context.Context, s keyvault.Reference) (*keyvault.Content, *Failure) {
	log := c.Log.With("vault", s.Vault, "object", s.Name)
	var last *Failure
	for n := 1; ; n++ {
		content, failure := c.try(ctx, s)
		if failure != nil && ctx.Err() != nil && last != nil {
			failure = last // says more than that the deadline cut the last attempt short
		}
		switch {
		case failure == nil:
			log.Info("fetched")
			return content, nil
		case failure.Kind == Missing && s.Optional:
			log.Info("optional secret is missing")
			return nil, nil
		case !failure.temporary:
			return nil, failure
		}
		last = failure
		wait := c.Retry.wait(n, failure.retryAfter)
		log.Warn("trying again", "attempt", n, "wait", wait.String(), "problem", failure.Problem)
		if !sleep(ctx, wait) {
			failure.Problem += ", until the deadline"
			return nil, failure
		}
	}
}

// try makes one attempt.
func (c *fetching) try(ctx context.Context, s keyvault.Reference) (*keyvault.Content, *Failure) {
	o := s.Object()
	return once(ctx, c.Client, o, func(ctx context.Context, v *vault) (*keyvault.Content, error) {
		if f, ok := c.refused.Load(o.Vault); ok {
			return nil, f.(*Failure)
		}
		return c.get(ctx, v, o)
	}, func(f *Failure) {
		if f.Subject == c.Identity.String() && !f.temporary {
			c.refused.Store(o.Vault, f)
		}
	})
}
