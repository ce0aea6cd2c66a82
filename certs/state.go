package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The keys of the Secret.
const (
	currentCert  = "ca.crt"       // PEM
	currentKey   = "ca.key"       // PEM, PKCS #8
	nextCert     = "next.crt"     // PEM
	nextKey      = "next.key"     // PEM, PKCS #8
	nextSince    = "next.since"   // RFC 3339, with fractions of a second
	previousCert = "previous.crt" // PEM, any number of certificates
)

// A state is what the Secret says: which CA signs, and which are trusted. Its values are never changed, only replaced.
type state struct {
	current  *authority
	next     *authority
	since    time.Time // since when next has been in every caBundle; zero: it is not yet
	previous []*x509.Certificate
}

// trusted is what stands in the caBundle.
func (s state) trusted() []*x509.Certificate {
	var certs []*x509.Certificate
	for _, a := range []*authority{s.current, s.next} {
		if a != nil {
			certs = append(certs, a.cert)
		}
	}
	return append(certs, s.previous...)
}

// A rotation takes a state to the next one.
type rotation struct {
	lifetime time.Duration // of a CA
	settle   time.Duration // from the time that a CA is in every caBundle to its first signature
	make     func(now time.Time, lifetime time.Duration) (*authority, error)
}

// next takes the steps that are due, as the package's documentation lists them, and says what it did: nothing is no change.
// published tells whether s.next is in every caBundle now.
func (r rotation) next(s state, published bool, now time.Time) (state, []string, error) {
	var done []string
	did := func(format string, args ...any) { done = append(done, fmt.Sprintf(format, args...)) }

	expired := func(c *x509.Certificate) bool { return !now.Before(c.NotAfter) }
	if valid := slices.DeleteFunc(slices.Clone(s.previous), expired); len(valid) < len(s.previous) {
		s.previous = valid
		did("forgot an expired CA")
	}
	if s.next != nil && expired(s.next.cert) {
		s.next, s.since = nil, time.Time{}
		did("forgot an expired CA that had waited to be used")
	}
	if s.current != nil && expired(s.current.cert) {
		did("dropped %s, which has expired", name(s.current))
		s.current = nil
	}

	var err error
	switch due := r.lifetime / 3; {
	case s.current == nil && s.next != nil:
		did("%s signs at once, as no other CA can", name(s.next))
		s.current, s.next, s.since = s.next, nil, time.Time{}
	case s.current == nil:
		if s.current, err = r.make(now, r.lifetime); err != nil {
			return s, nil, err
		}
		did("made %s", name(s.current))
	case s.next == nil && s.current.cert.NotAfter.Sub(now) <= due:
		if s.next, err = r.make(now, r.lifetime); err != nil {
			return s, nil, err
		}
		did("made %s, which will sign when it has been public for %s", name(s.next), r.settle)
	case s.next == nil:
	case !published && !s.since.IsZero():
		did("%s was taken out of a caBundle and waits again", name(s.next))
		s.since = time.Time{}
	case !published:
	case s.since.IsZero() || s.since.After(now): // after now: a clock was wrong, and nothing may hang on it
		did("%s is public", name(s.next))
		s.since = now
	case now.Sub(s.since) >= r.settle:
		did("%s signs from now on", name(s.next))
		s.previous = append([]*x509.Certificate{s.current.cert}, s.previous...)
		s.current, s.next, s.since = s.next, nil, time.Time{}
	}
	return s, done, nil
}

func name(a *authority) string { return a.cert.Subject.CommonName }

// decode reads a Secret. What cannot be used is left out of the state and becomes a problem, which names its key.
func decode(data map[string][]byte) (s state, problems []error) {
	problem := func(key string, err error) { problems = append(problems, fmt.Errorf("%s: %w", key, err)) }

	previous, err := parseCerts(data[previousCert])
	if err != nil {
		problem(previousCert, err)
	}
	pair := func(certName, keyName string) *authority {
		if len(data[certName]) == 0 && len(data[keyName]) == 0 {
			return nil
		}
		certs, err := parseCerts(data[certName])
		if err == nil && len(certs) != 1 {
			err = fmt.Errorf("holds %d certificates instead of one", len(certs))
		}
		if err != nil {
			problem(certName, err)
			return nil
		}
		key, err := parseKey(data[keyName], certs[0])
		if err != nil {
			problem(keyName, err)
			previous = append(previous, certs[0]) // others may serve with it
			return nil
		}
		return &authority{certs[0], key}
	}
	s.current = pair(currentCert, currentKey)
	s.next = pair(nextCert, nextKey)
	s.previous = previous

	if text := data[nextSince]; len(text) > 0 && s.next != nil {
		if s.since, err = time.Parse(time.RFC3339, string(text)); err != nil {
			problem(nextSince, errors.New("is no RFC 3339 time"))
			s.since = time.Time{}
		}
	}
	return s, problems
}

// encode writes a state into a Secret's data and leaves keys alone that are not ours.
func (s state) encode(data map[string][]byte) error {
	for _, key := range []string{currentCert, currentKey, nextCert, nextKey, nextSince, previousCert} {
		delete(data, key)
	}
	for _, p := range []struct {
		*authority
		cert, key string
	}{{s.current, currentCert, currentKey}, {s.next, nextCert, nextKey}} {
		if p.authority == nil {
			continue
		}
		key, err := encodeKey(p.authority.key)
		if err != nil {
			return err
		}
		data[p.cert], data[p.key] = encodeCerts(p.authority.cert), key
	}
	if !s.since.IsZero() {
		data[nextSince] = []byte(s.since.UTC().Format(time.RFC3339Nano))
	}
	if len(s.previous) > 0 {
		data[previousCert] = encodeCerts(s.previous...)
	}
	return nil
}
