// Package catalog knows what vaults hold, but for the values: names, and whether and when they are valid. It asks in the
// background, so that who looks something up never waits for Azure.
//
// What it says may be old: of an object that was made, enabled or prolonged a moment ago it knows nothing yet. So everything that it says
// comes with the time at which the vault was asked, what is older than [believed] is not said at all, and whoever hears of something
// that is not in order makes it ask again at once. Who wants to be sure looks at the time.
package catalog

import (
	"context"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/azure"
	"twelvefold.dev/internal/policy"
)

// The bounds of what is kept.
const (
	maxVaults = 200
	maxNames  = 20_000  // of one type in a vault; a list has 25 on a page
	maxAll    = 250_000 // of all types in all vaults: some 50 MiB
	flights   = 32      // vaults that are asked at a time
	hinted    = 2_000   // names at most of a list that is searched for the nearest one
	believed  = 15 * time.Minute
)

// Lister lists what a vault holds: [azure.Client] does.
type Lister interface {
	List(ctx context.Context, vault string, kind keyvault.Type, most int) ([]azure.Properties, error)
}

// Catalog answers from memory. Its methods may be called from several goroutines.
type Catalog struct {
	azure   func() (Lister, error)
	log     *slog.Logger
	metrics *Metrics
	slots   chan struct{} // taken by flights

	mu      sync.Mutex      // never held during I/O
	running context.Context // of Start; nil before and after
	keepers sync.WaitGroup
	vaults  map[string]*vault // by host
}

// New makes an empty catalogue. azure gives what lists vaults; it is called before each list, since the policy may change how Azure
// is reached.
func New(azure func() (Lister, error), log *slog.Logger, metrics *Metrics) *Catalog {
	return &Catalog{azure: azure, log: log, metrics: metrics, slots: make(chan struct{}, flights), vaults: map[string]*vault{}}
}

// vault is what is known of one. The catalogue's lock guards it.
type vault struct {
	host   string
	pinned bool      // the policy lists it: it is kept current without use
	used   time.Time // the last time that somebody asked
	missed time.Time // the last time that something was not in order
	quiet  time.Time // until when it asked to be left alone
	lists  map[keyvault.Type]list
	kick   chan struct{} // asks the keeper to hurry
	stop   context.CancelFunc
}

// list is the newest complete list of a type, which does not change any more.
type list struct {
	asked   time.Time                   // when its first page was asked for; zero: there is none yet
	objects map[string]azure.Properties // by name in lower case, for Key Vault ignores case
	problem string                      // why there is no newer one; empty: the last attempt succeeded, or there was none
}

// Lookup tells what is known of an object. It only looks into memory. Of a version it tells whether there is the object at all: a list has
// the newest versions only, and to ask for the versions of every pinned object would cost a request each.
func (c *Catalog) Lookup(o keyvault.Object) policy.Metadata {
	now := time.Now()
	c.mu.Lock()
	v := c.vaults[o.Vault]
	if v == nil {
		v = c.add(o.Vault, now)
		c.tend(v)
	}
	v.used = now
	known := v.lists[o.Type]
	v.lists[o.Type] = known // from now on it is wanted
	c.mu.Unlock()

	m := known.tell(o, now)
	c.metrics.lookedUp(m.State)
	if m.State == policy.Unknown || !m.Valid(now) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if m.State != policy.Unknown {
			v.missed = now
		}
		select {
		case v.kick <- struct{}{}:
		default: // it hurries already
		}
	}
	return m
}

func (l list) tell(o keyvault.Object, now time.Time) policy.Metadata {
	if now.Sub(l.asked) > believed {
		return policy.Metadata{State: policy.Unknown, Problem: l.problem}
	}
	name := strings.ToLower(o.Name)
	switch p, found := l.objects[name]; {
	case !found:
		m := policy.Metadata{State: policy.Missing, Asked: l.asked}
		if len(l.objects) <= hinted {
			m.Nearest = l.objects[nearest(name, maps.Keys(l.objects))].Name
		}
		return m
	case o.Version != "":
		return policy.Metadata{State: policy.Exists, Asked: l.asked, Enabled: true}
	default:
		return policy.Metadata{State: policy.Exists, Asked: l.asked, Enabled: p.Enabled, NotBefore: p.NotBefore, Expires: p.Expires}
	}
}

// Warm has the secrets of vaults listed before anybody asks, and from now on no others: those are forgotten. Vaults that could not be listed
// are asked again at once, unless they asked to be left alone: the policy may have told another way to them.
func (c *Catalog) Warm(hosts []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	listed := map[string]bool{}
	for _, host := range hosts {
		listed[host] = true
	}
	for host, v := range c.vaults {
		v.stop()
		if !listed[host] {
			delete(c.vaults, host)
		}
	}
	for host := range listed {
		v := c.vaults[host]
		if v == nil {
			v = c.add(host, time.Now())
		}
		v.pinned = true
		if _, wanted := v.lists[keyvault.SecretType]; !wanted {
			v.lists[keyvault.SecretType] = list{}
		}
		c.tend(v)
	}
}

// Start keeps the catalogue current until the context ends.
func (c *Catalog) Start(ctx context.Context) error {
	c.mu.Lock()
	c.running = ctx
	for _, v := range c.vaults {
		c.tend(v)
	}
	c.mu.Unlock()
	<-ctx.Done()
	c.mu.Lock()
	c.running = nil
	c.mu.Unlock()
	c.keepers.Wait()
	return nil
}

// NeedLeaderElection is false: every replica answers.
func (c *Catalog) NeedLeaderElection() bool { return false }

// add makes room for a vault, at the cost of the one that was not used for the longest time.
func (c *Catalog) add(host string, now time.Time) *vault {
	if len(c.vaults) == maxVaults {
		var oldest *vault
		for _, v := range c.vaults {
			if oldest == nil || v.used.Before(oldest.used) {
				oldest = v
			}
		}
		c.forget(oldest)
	}
	v := &vault{host: host, used: now, lists: map[keyvault.Type]list{}, kick: make(chan struct{}, 1), stop: func() {}}
	c.vaults[host] = v
	return v
}

func (c *Catalog) forget(v *vault) {
	v.stop()
	if c.vaults[v.host] == v {
		delete(c.vaults, v.host)
	}
}

// tend starts the vault's keeper, the only one that asks it.
func (c *Catalog) tend(v *vault) {
	if c.running == nil {
		return // Start does
	}
	k := keeper{Catalog: c, vault: v}
	var ctx context.Context
	ctx, v.stop = context.WithCancel(c.running)
	c.keepers.Go(func() { k.run(ctx) })
}
