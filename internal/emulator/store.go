package emulator

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
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
	versions map[object][]version // oldest first
}

// kind is a type of objects, by its name in URLs.
type kind string

const (
	secrets      kind = "secrets"
	certificates kind = "certificates"
	keys         kind = "keys"
)

func (k kind) singular() string { return strings.TrimSuffix(string(k), "s") }

// object names all versions of an object.
type object struct {
	kind
	name string // in lower case: Key Vault ignores case
}

// version is one version of an object of any kind.
type version struct {
	Secret      // of the other kinds, what they have in common with secrets
	created     time.Time
	certificate bool             // it is a certificate's, or made for one
	cer         []byte           // DER
	key         *jose.JSONWebKey // public
}

var (
	objectName    = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)
	objectVersion = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

func newStore(s Seed, now func() time.Time) (*store, error) {
	st := &store{now: now, vaults: map[string]*vault{}, identities: map[string]Identity{}}
	for _, v := range s.Vaults {
		st.addVault(v)
		for _, secret := range v.Secrets {
			if _, err := st.set(v.Host, secrets, version{Secret: secret}); err != nil {
				return nil, err
			}
		}
		for _, c := range v.Certificates {
			if _, err := st.setCertificate(v.Host, c); err != nil {
				return nil, err
			}
		}
		for _, k := range v.Keys {
			if _, err := st.setKey(v.Host, k); err != nil {
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
func (e *Emulator) SetSecret(host string, s Secret) (id string, err error) {
	return e.store.set(host, secrets, version{Secret: s})
}

// DeleteSecret deletes a secret with all its versions.
func (e *Emulator) DeleteSecret(host, name string) {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	if v := e.store.vaults[strings.ToLower(host)]; v != nil {
		delete(v.versions, object{secrets, strings.ToLower(name)})
	}
}

// AddVault adds an empty vault, or changes the settings of one.
func (e *Emulator) AddVault(v Vault) { e.store.addVault(v) }

// SetIdentity adds or replaces an identity.
func (e *Emulator) SetIdentity(i Identity) { e.store.setIdentity(i) }

func (s *store) addVault(v Vault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.Host, v.Tenant, v.Secrets, v.Certificates, v.Keys = strings.ToLower(v.Host), cmp.Or(v.Tenant, DefaultTenant), nil, nil, nil
	versions := map[object][]version{}
	if old := s.vaults[v.Host]; old != nil {
		versions = old.versions
	}
	s.vaults[v.Host] = &vault{v, versions}
}

// set adds a version, or replaces one of the same id.
func (s *store) set(host string, k kind, one version) (string, error) {
	if !objectName.MatchString(one.Name) {
		return "", fmt.Errorf("emulator: %q is no name of a %s", one.Name, k.singular())
	}
	one.Version = cmp.Or(one.Version, newID())
	if !objectVersion.MatchString(one.Version) {
		return "", fmt.Errorf("emulator: %s: %q is no version", one.Name, one.Version)
	}
	if !s.hasVault(host) {
		s.addVault(Vault{Host: host})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key, v := object{k, strings.ToLower(one.Name)}, s.vaults[strings.ToLower(host)]
	rest := slices.DeleteFunc(v.versions[key], func(old version) bool { return old.Version == one.Version })
	created := s.now()
	if n := len(rest); n > 0 && created.Unix() <= rest[n-1].created.Unix() {
		created = rest[n-1].created.Add(time.Second) // times go out in seconds, and readers order versions by them
	}
	one.created = created
	v.versions[key] = append(rest, one)
	return one.Version, nil
}

func newID() string {
	id := make([]byte, 16)
	rand.Read(id)
	return hex.EncodeToString(id)
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

// names lists the objects of a kind in a vault in order.
func (s *store) names(host string, k kind) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var names []string
	for o := range s.vaults[host].versions {
		if o.kind == k {
			names = append(names, o.name)
		}
	}
	slices.Sort(names)
	return names
}

// all lists the versions of an object, oldest first.
func (s *store) all(host string, k kind, name string) []version {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.vaults[host].versions[object{k, strings.ToLower(name)}])
}

// assigned finds the managed identity that the metadata service knows by a client id, or without one.
func (s *store) assigned(clientID string) (Identity, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, i := range s.identities {
		if clientID == "" && i.Managed == SystemAssigned || clientID != "" && i.ClientID == clientID && i.Managed != "" {
			return i, true
		}
	}
	return Identity{}, false
}
