package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/keyvault/azure"
	"twelvefold.dev/internal/policy"
)

const shop = "shop.vault.azure.net"

// fake plays Azure.
type fake struct {
	mu     sync.Mutex
	vaults map[string][]azure.Properties // by host, and /type
	err    error
	takes  time.Duration
	asked  map[string][]time.Time // by host
	flying map[string]int
	most   int // flights in one vault at a time
	total  int // and in all
}

func (f *fake) List(ctx context.Context, host string, kind keyvault.Type, most int) ([]azure.Properties, error) {
	f.mu.Lock()
	f.asked[host] = append(f.asked[host], time.Now())
	f.flying[host]++
	f.flying[""]++
	f.most, f.total = max(f.most, f.flying[host]), max(f.total, f.flying[""])
	takes := f.takes
	f.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flying[host]--
	f.flying[""]--
	if most != maxNames {
		return nil, fmt.Errorf("asked for %d names", most)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	key := host
	if kind != keyvault.SecretType {
		key += "/" + string(kind)
	}
	return f.vaults[key], f.err
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) calls(host string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked[host])
}

// run runs a test beside a catalogue, by a clock that stands still while something happens.
func run(t *testing.T, test func(t *testing.T, c *Catalog, f *fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{asked: map[string][]time.Time{}, flying: map[string]int{}, takes: 100 * time.Millisecond,
			vaults: map[string][]azure.Properties{shop: {{Name: "Db-Password", Enabled: true}, {Name: "off"}}}}
		c := New(func() (Lister, error) { return f, nil }, slog.New(slog.DiscardHandler), nil)
		ctx, stop := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { _ = c.Start(ctx) })
		synctest.Wait()
		test(t, c, f)
		stop()
		group.Wait() // with all keepers, or the bubble would not end
	})
}

func wait(d time.Duration) {
	time.Sleep(d) // no time passes but in the bubble
	synctest.Wait()
}

func secret(name string) keyvault.Object { return keyvault.Object{Vault: shop, Name: name} }

func want(t *testing.T, got policy.Metadata, state policy.MetadataState, text string) {
	t.Helper()
	if got.State != state || text != "" && !strings.Contains(got.Nearest+got.Problem, text) || text == "" && got.Nearest+got.Problem != "" {
		t.Errorf("got %+v, want state %d and %q", got, state, text)
	}
}

func TestLookup(t *testing.T) {
	run(t, func(t *testing.T, c *Catalog, f *fake) {
		notBefore, expires := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		f.set(func() {
			f.vaults[shop] = append(f.vaults[shop], azure.Properties{Name: "dated", Enabled: true, NotBefore: notBefore, Expires: expires})
			f.vaults[shop+"/cert"] = []azure.Properties{{Name: "tls", Enabled: true}}
		})
		before := time.Now()
		want(t, c.Lookup(secret("db-password")), policy.Unknown, "") // has not answered yet
		wait(time.Second)
		if m := c.Lookup(secret("DB-PASSWORD")); m.State != policy.Exists || !m.Enabled || !m.Valid(time.Now()) || !m.Asked.Equal(before) {
			t.Errorf("got %+v", m)
		}
		want(t, c.Lookup(secret("db-pasword")), policy.Missing, "Db-Password")
		want(t, c.Lookup(secret("other")), policy.Missing, "")
		if m := c.Lookup(secret("off")); m.State != policy.Exists || m.Enabled || m.Valid(time.Now()) {
			t.Errorf("disabled: %+v", m)
		}
		if m := c.Lookup(keyvault.Object{Vault: shop, Name: "off", Version: strings.Repeat("a", 32)}); !m.Valid(time.Now()) {
			t.Errorf("a version, of which nothing is known: %+v", m)
		}
		if m := c.Lookup(secret("dated")); !m.NotBefore.Equal(notBefore) || !m.Expires.Equal(expires) {
			t.Errorf("dates: %+v", m)
		}
		certificate := keyvault.Object{Vault: shop, Type: keyvault.CertificateType, Name: "tls"}
		want(t, c.Lookup(certificate), policy.Unknown, "")
		wait(rest + time.Second)
		want(t, c.Lookup(certificate), policy.Exists, "")
		want(t, c.Lookup(keyvault.Object{Vault: shop, Type: keyvault.KeyType, Name: "tls"}), policy.Unknown, "")
	})
}

// However many ask, a vault is asked by one, and not too many vaults at a time.
func TestFlights(t *testing.T) {
	run(t, func(t *testing.T, c *Catalog, f *fake) {
		f.set(func() { f.takes = 5 * time.Second })
		var group sync.WaitGroup
		for i := range 1000 {
			group.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				c.Lookup(secret(fmt.Sprint("missing-", i)))
				c.Lookup(keyvault.Object{Vault: fmt.Sprintf("v%d.vault.azure.net", i%50), Name: "a"})
			})
		}
		group.Wait()
		if f.most != 1 || f.total != flights {
			t.Errorf("%d flights in a vault, want 1; %d in all, want %d", f.most, f.total, flights)
		}
	})
}

func TestRefresh(t *testing.T) {
	run(t, func(t *testing.T, c *Catalog, f *fake) {
		c.Warm([]string{shop})
		wait(time.Second)
		want(t, c.Lookup(secret("db-password")), policy.Exists, "") // the first one knows already
		wait(time.Hour)
		if n := f.calls(shop); n < 11 || n > 14 {
			t.Errorf("%d lists in an hour, want one each five minutes", n)
		}
		for i, at := range f.asked[shop][1:] {
			if gap := at.Sub(f.asked[shop][i]); gap < period*9/10 || gap > period*11/10+time.Second {
				t.Errorf("after %s", gap)
			}
		}
		// What was not there is asked for at once, if the vault had its rest, and often for some time.
		before := f.calls(shop)
		want(t, c.Lookup(secret("new")), policy.Missing, "")
		f.set(func() { f.vaults[shop] = append(f.vaults[shop], azure.Properties{Name: "new", Enabled: true}) })
		wait(rest + time.Second)
		if m := c.Lookup(secret("new")); m.State != policy.Exists || time.Since(m.Asked) > rest+time.Second {
			t.Errorf("got %+v", m)
		}
		wait(alert)
		if n := f.calls(shop) - before; n < 25 || n > 35 {
			t.Errorf("%d lists in the ten minutes after a miss", n)
		}
		before = f.calls(shop)
		wait(alert)
		if n := f.calls(shop) - before; n > 3 {
			t.Errorf("%d lists in the ten minutes after that", n)
		}
	})
}

// A flood of misses costs a vault no more than a list each few seconds, and a long list seldom.
func TestRest(t *testing.T) {
	run(t, func(t *testing.T, c *Catalog, f *fake) {
		for _, takes := range []time.Duration{100 * time.Millisecond, 6 * time.Second} {
			f.set(func() { f.takes = takes })
			wait(time.Minute)
			before := f.calls(shop)
			for range 600 {
				c.Lookup(secret("missing"))
				wait(100 * time.Millisecond)
			}
			if n, most := f.calls(shop)-before, int(time.Minute/max(rest, 10*takes))+1; n > most || n == 0 {
				t.Errorf("%d lists in a minute, want %d at most", n, most)
			}
		}
	})
}

// A vault that says when to come back is left alone until then; others are left alone longer and longer.
func TestBackoff(t *testing.T) {
	throttled := throttling(t)
	run(t, func(t *testing.T, c *Catalog, f *fake) {
		c.Warm([]string{shop})
		wait(time.Second)
		f.set(func() { f.err = throttled })
		wait(6 * time.Minute)
		before := f.calls(shop)
		want(t, c.Lookup(secret("db-password")), policy.Exists, "") // from the list before
		for i := range 80 {
			c.Lookup(secret("missing"))
			if i == 40 {
				c.Warm([]string{shop}) // nor does a new policy change that
			}
			wait(time.Second)
		}
		if n := f.calls(shop) - before; n > 1 {
			t.Errorf("%d lists within the 90 seconds that were asked for", n)
		}
		wait(believed)
		want(t, c.Lookup(secret("db-password")), policy.Unknown, "the vault is throttled")
		before = f.calls(shop)
		wait(time.Hour)
		if n := f.calls(shop) - before; n < 8 || n > 14 {
			t.Errorf("%d lists in the hour of a long outage", n)
		}
		f.set(func() { f.err = nil })
		wait(period * 2)
		want(t, c.Lookup(secret("db-password")), policy.Exists, "")
	})
}

func TestProblems(t *testing.T) {
	registry := prometheus.NewRegistry()
	run(t, func(t *testing.T, c *Catalog, f *fake) {
		c.metrics = NewMetrics(registry)
		f.set(func() {
			f.err = &azure.Failure{Kind: azure.Denied, Subject: "vault", Problem: "client id may not\nlist it", Fix: "give it the role"}
		})
		c.Lookup(secret("a"))
		wait(time.Second)
		want(t, c.Lookup(secret("a")), policy.Unknown, "client id may not list it")
		f.set(func() { f.err = errors.New("no identity") })
		wait(period)
		want(t, c.Lookup(secret("a")), policy.Unknown, "no identity")
	})
	const wanted = `
		# HELP twelvefold_keyvault_lookups_total Objects of vaults that pods refer to, by what was known of them: exists, missing, unknown.
		# TYPE twelvefold_keyvault_lookups_total counter
		twelvefold_keyvault_lookups_total{state="unknown"} 3
	`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(wanted), "twelvefold_keyvault_lookups_total"); err != nil {
		t.Error(err)
	}
}

func TestBounds(t *testing.T) {
	run(t, func(t *testing.T, c *Catalog, f *fake) {
		host := func(i int) string { return fmt.Sprintf("v%d.vault.azure.net", i) }
		for i := range maxVaults {
			c.Lookup(keyvault.Object{Vault: host(i), Name: "a"})
			wait(time.Millisecond)
		}
		c.Lookup(keyvault.Object{Vault: host(0), Name: "a"}) // no longer the one that was not used for the longest time
		wait(time.Minute)
		c.Lookup(secret("db-password"))
		if len(c.vaults) != maxVaults || c.vaults[host(0)] == nil || c.vaults[host(1)] != nil {
			t.Errorf("%d vaults, the first %v, the second %v", len(c.vaults), c.vaults[host(0)], c.vaults[host(1)])
		}
		forgotten, kept := f.calls(host(1)), f.calls(host(0))
		wait(10 * time.Minute)
		if f.calls(host(1)) != forgotten || f.calls(host(0)) == kept {
			t.Error("the one that was forgotten is asked all the same, or the others are not")
		}
		wait(idle + period)
		if len(c.vaults) > 0 {
			t.Errorf("%d vaults are left without use", len(c.vaults))
		}
	})
}

// Memory is bounded whatever the vaults hold: what is too much is not known, and what is known stays.
func TestMemory(t *testing.T) {
	run(t, func(t *testing.T, c *Catalog, f *fake) {
		full := make([]azure.Properties, maxNames)
		for i := range full {
			full[i] = azure.Properties{Name: fmt.Sprint("s", i), Enabled: true}
		}
		const n = maxAll/maxNames + 1
		for i := range n {
			host := fmt.Sprintf("v%d.vault.azure.net", i)
			f.set(func() { f.vaults[host] = full })
			c.Lookup(keyvault.Object{Vault: host, Name: "s1"})
			wait(time.Second)
		}
		want(t, c.Lookup(keyvault.Object{Vault: "v0.vault.azure.net", Name: "s1"}), policy.Exists, "")
		want(t, c.Lookup(keyvault.Object{Vault: fmt.Sprintf("v%d.vault.azure.net", n-1), Name: "s1"}), policy.Unknown, "more than 250000 objects")
		if c.size() > maxAll {
			t.Errorf("%d objects", c.size())
		}
	})
}

// The policy's vaults are known, used or not; what it no longer lists is forgotten.
func TestWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{asked: map[string][]time.Time{}, flying: map[string]int{}, vaults: map[string][]azure.Properties{}}
		c := New(func() (Lister, error) { return f, nil }, slog.New(slog.DiscardHandler), nil)
		c.Warm([]string{shop, "other.vault.azure.net"})
		wait(time.Minute)
		if len(f.asked) > 0 {
			t.Error("vaults are asked before the start")
		}
		ctx, stop := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { _ = c.Start(ctx) })
		wait(5 * time.Hour)
		want(t, c.Lookup(secret("a")), policy.Missing, "")
		f.set(func() { f.err = errors.New("wrong proxy") })
		wait(time.Hour)
		f.set(func() { f.err = nil })
		c.Warm([]string{shop, shop}) // a policy that mends it
		wait(time.Second)
		want(t, c.Lookup(secret("a")), policy.Missing, "")
		if len(c.vaults) != 1 {
			t.Errorf("%d vaults", len(c.vaults))
		}
		stop()
		group.Wait()
		want(t, c.Lookup(keyvault.Object{Vault: "late.vault.azure.net", Name: "a"}), policy.Unknown, "")
	})
}
