package emulator

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// store holds vaults and identities.
type store struct {
	now func() time.Time

	mu         sync.RWMutex
	vaults     map[string]*vault
	identities map[string]Identity // by client id
}

type vault struct {
	Vault
	versions map[string][]version // by secret name in lower case: Key Vault ignores case; oldest first
}

type version struct {
	Secret
	created time.Time
}

var (
	secretName    = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)
	secretVersion = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

func newStore(s Seed, now func() time.Time) (*store, error) {
	st := &store{now: now, vaults: map[string]*vault{}, identities: map[string]Identity{}}
	for _, v := range s.Vaults {
		st.addVault(v)
		for _, secret := range v.Secrets {
			if _, err := st.set(v.Host, secret); err != nil {
				return nil, err
			}
		}
	}
	for _, i := range s.Identities {
		st.setIdentity(i)
	}
	return st, nil
}

// SetSecret adds a version, which becomes the newest, and returns its id. It makes the vault if there is none.
func (e *Emulator) SetSecret(host string, s Secret) (version string, err error) {
	return e.store.set(host, s)
}

// AddVault adds an empty vault, or changes the settings of one.
func (e *Emulator) AddVault(v Vault) { e.store.addVault(v) }

// SetIdentity adds or replaces an identity.
func (e *Emulator) SetIdentity(i Identity) { e.store.setIdentity(i) }

func (s *store) addVault(v Vault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.Host, v.Tenant, v.Secrets = strings.ToLower(v.Host), cmp.Or(v.Tenant, DefaultTenant), nil
	versions := map[string][]version{}
	if old := s.vaults[v.Host]; old != nil {
		versions = old.versions
	}
	s.vaults[v.Host] = &vault{v, versions}
}

func (s *store) set(host string, secret Secret) (string, error) {
	if !secretName.MatchString(secret.Name) {
		return "", fmt.Errorf("emulator: %q is no secret name", secret.Name)
	}
	if secret.Version == "" {
		id := make([]byte, 16)
		rand.Read(id)
		secret.Version = hex.EncodeToString(id)
	}
	if !secretVersion.MatchString(secret.Version) {
		return "", fmt.Errorf("emulator: %s: %q is no version", secret.Name, secret.Version)
	}
	if !s.hasVault(host) {
		s.addVault(Vault{Host: host})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key, v := strings.ToLower(secret.Name), s.vaults[strings.ToLower(host)]
	rest := slices.DeleteFunc(v.versions[key], func(old version) bool { return old.Version == secret.Version })
	created := s.now()
	if n := len(rest); n > 0 && created.Unix() <= rest[n-1].created.Unix() {
		created = rest[n-1].created.Add(time.Second) // times go out in seconds, and readers order versions by them
	}
	v.versions[key] = append(rest, version{secret, created})
	return secret.Version, nil
}

func (s *store) setIdentity(i Identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i.Tenant = cmp.Or(i.Tenant, DefaultTenant)
	s.identities[i.ClientID] = i
}

func (s *store) hasVault(host string) bool {
	_, ok := s.vaultSettings(host)
	return ok
}

func (s *store) vaultSettings(host string) (Vault, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok := s.vaults[strings.ToLower(host)]
	if !ok {
		return Vault{}, false
	}
	return v.Vault, true
}

func (s *store) identity(clientID string) (Identity, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, ok := s.identities[clientID]
	return i, ok
}

// names lists the secrets of a vault in order.
func (s *store) names(host string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.vaults[host].versions))
}

// all lists the versions of a secret, oldest first.
func (s *store) all(host, name string) []version {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.vaults[host].versions[strings.ToLower(name)])
}
