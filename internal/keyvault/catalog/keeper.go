package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/azure"
	"twelvefold.dev/internal/policy"
)

// How often vaults are asked.
const (
	period     = 5 * time.Minute  // between two lists of a vault
	soonPeriod = 20 * time.Second // the same, where something was not in order during the last alert
	alert      = 10 * time.Minute
	idle       = time.Hour        // without use, after which a vault that the policy does not list is forgotten
	rest       = 3 * time.Second  // after a list at least; for long ones it is ten times as long as they took
	firstRetry = 10 * time.Second // after a failure; doubles up to the period
	longest    = 2 * time.Minute  // for one list
	mostRetry  = time.Hour        // of what Retry-After may ask for
)

// keeper keeps what is known of one vault current. There is one for each vault, so there is one flight.
type keeper struct {
	*Catalog
	*vault
	failures int // in a row
}

func (k *keeper) run(ctx context.Context) {
	k.mu.Lock()
	quiet := time.Until(k.quiet)
	k.mu.Unlock()
	if !sleep(ctx, quiet, nil) {
		return
	}
	for {
		began := time.Now()
		if err := k.refresh(ctx); err != nil {
			k.failures++
			if !sleep(ctx, k.backoff(err), nil) || k.idle() {
				return
			}
			continue
		}
		k.failures = 0
		pause := max(rest, 10*time.Since(began))
		if !sleep(ctx, pause, nil) || !sleep(ctx, k.next()-pause, k.kick) || k.idle() {
			return
		}
	}
}

// sleep waits, or until it is kicked. It is false if the context ended.
func sleep(ctx context.Context, d time.Duration, kick <-chan struct{}) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
	case <-kick:
	}
	return true
}

// next is when the vault is to be asked again; the replicas shall not do it together.
func (k *keeper) next() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := period
	if time.Since(k.missed) < alert {
		d = soonPeriod
	}
	return d - d/10 + rand.N(d/5)
}

// backoff is how long to leave the vault alone after a failure: what it asked for, and longer the more often it fails.
func (k *keeper) backoff(err error) time.Duration {
	d := min(firstRetry<<min(k.failures-1, 8), period)
	var failure *azure.Failure
	if errors.As(err, &failure) && failure.RetryAfter() > 0 {
		d = max(d, min(failure.RetryAfter(), mostRetry))
		k.mu.Lock()
		defer k.mu.Unlock()
		k.quiet = time.Now().Add(d)
	}
	return d + rand.N(d/5)
}

// idle forgets the vault if nobody wants it any more.
func (k *keeper) idle() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pinned || time.Since(k.used) <= idle {
		return false
	}
	k.forget(k.vault)
	return true
}

// refresh lists all types of objects that were asked for. A failure that may pass concerns the whole vault and ends it.
func (k *keeper) refresh(ctx context.Context) error {
	select {
	case k.slots <- struct{}{}:
		defer func() { <-k.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-k.kick: // this is what it asks for
	default:
	}
	k.mu.Lock()
	kinds := slices.Sorted(maps.Keys(k.lists))
	k.mu.Unlock()
	var failed error
	for _, kind := range kinds {
		asked := time.Now()
		all, err := k.list(ctx, kind)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		k.metrics.listed(err)
		k.store(kind, asked, all, err)
		if err != nil {
			failed = err
		}
		var failure *azure.Failure
		if errors.As(err, &failure) && failure.Temporary() {
			break
		}
	}
	return failed
}

func (k *keeper) list(ctx context.Context, kind keyvault.Type) ([]azure.Properties, error) {
	lister, err := k.azure()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	return lister.List(ctx, k.host, kind, maxNames)
}

// store keeps a list, or why there is none.
func (k *keeper) store(kind keyvault.Type, asked time.Time, all []azure.Properties, err error) {
	fresh := list{asked: asked, objects: make(map[string]azure.Properties, len(all))}
	for _, p := range all {
		fresh.objects[strings.ToLower(p.Name)] = p
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if others := k.size() - len(k.lists[kind].objects); err == nil && others+len(all) > maxAll {
		err = fmt.Errorf("all vaults together hold more than %d objects", maxAll)
	}
	if err != nil {
		fresh = k.lists[kind]
		fresh.problem = problem(err)
		k.log.Warn("listing a vault failed", "vault", k.host, "type", string(kind), "error", policy.OneLine(err.Error()))
	}
	k.lists[kind] = fresh
}

// size is how many objects are known.
func (c *Catalog) size() (n int) {
	for _, v := range c.vaults {
		for _, l := range v.lists {
			n += len(l.objects)
		}
	}
	return n
}

// problem is an error in a few words for whoever wants to use the vault; the way out is for the log.
func problem(err error) string {
	var failure *azure.Failure
	if errors.As(err, &failure) {
		return policy.OneLine(failure.Problem)
	}
	return policy.OneLine(err.Error())
}
