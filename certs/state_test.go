package certs

import (
	"crypto/x509"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const day = 24 * time.Hour

var (
	start   = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	monthly = rotation{lifetime: 30 * day, settle: time.Hour, make: newAuthority}
)

func mustCA(t testing.TB, made time.Time) *authority {
	t.Helper()
	a, err := newAuthority(made, monthly.lifetime)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// roles says which CA has which role, by the names that the test gave them.
func roles(s state, names map[string]*authority) map[string]string {
	nameOf := func(c *x509.Certificate) string {
		for n, a := range names {
			if a.cert.Equal(c) {
				return n
			}
		}
		return "made"
	}
	out := map[string]string{}
	if s.current != nil {
		out["current"] = nameOf(s.current.cert)
	}
	if s.next != nil {
		out["next"] = nameOf(s.next.cert)
	}
	if !s.since.IsZero() {
		out["since"] = s.since.Sub(start).String()
	}
	for _, c := range s.previous {
		out["previous"] += nameOf(c)
	}
	return out
}

func TestNext(t *testing.T) {
	a, b := mustCA(t, start), mustCA(t, start.Add(20*day))
	ca := map[string]*authority{"a": a, "b": b}
	at := func(d time.Duration) time.Time { return start.Add(d) }

	for name, tt := range map[string]struct {
		state     state
		published bool
		now       time.Time
		want      map[string]string
		steps     int
	}{
		"empty": {state{}, false, at(0), map[string]string{"current": "made"}, 1},
		"young": {state{current: a}, true, at(20*day - 1), map[string]string{"current": "a"}, 0},
		"a third is left": {state{current: a}, true, at(20 * day),
			map[string]string{"current": "a", "next": "made"}, 1},
		"not public": {state{current: a, next: b}, false, at(21 * day),
			map[string]string{"current": "a", "next": "b"}, 0},
		"public": {state{current: a, next: b}, true, at(2 * time.Hour),
			map[string]string{"current": "a", "next": "b", "since": "2h0m0s"}, 1},
		"settling": {state{current: a, next: b, since: at(2 * time.Hour)}, true, at(3*time.Hour - 1),
			map[string]string{"current": "a", "next": "b", "since": "2h0m0s"}, 0},
		"settled": {state{current: a, next: b, since: at(2 * time.Hour)}, true, at(3 * time.Hour),
			map[string]string{"current": "b", "previous": "a"}, 1},
		"taken out of a bundle": {state{current: a, next: b, since: at(2 * time.Hour)}, false, at(9 * time.Hour),
			map[string]string{"current": "a", "next": "b"}, 1},
		"public since tomorrow": {state{current: a, next: b, since: at(day)}, true, at(2 * time.Hour),
			map[string]string{"current": "a", "next": "b", "since": "2h0m0s"}, 1},
		"previous is still valid": {state{current: b, previous: []*x509.Certificate{a.cert}}, true, at(30*day - 1),
			map[string]string{"current": "b", "previous": "a"}, 0},
		"previous expired": {state{current: b, previous: []*x509.Certificate{a.cert}}, true, at(30 * day),
			map[string]string{"current": "b"}, 1},
		"current expired": {state{current: a}, true, at(30 * day), map[string]string{"current": "made"}, 2},
		"current expired, next was never public": {state{current: a, next: b}, false, at(31 * day),
			map[string]string{"current": "b"}, 2},
		"all expired": {state{current: a, next: b, since: at(25 * day), previous: []*x509.Certificate{a.cert}}, true, at(60 * day),
			map[string]string{"current": "made"}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			before := roles(tt.state, ca)
			got, steps, err := monthly.next(tt.state, tt.published, tt.now)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, roles(got, ca)); diff != "" {
				t.Errorf("next state (-want +got):\n%s", diff)
			}
			if len(steps) != tt.steps {
				t.Errorf("steps = %q, want %d", steps, tt.steps)
			}
			if diff := cmp.Diff(before, roles(tt.state, ca)); diff != "" {
				t.Errorf("the old state changed:\n%s", diff)
			}
		})
	}
}

// However long nobody looked, one look later there is a valid CA that signs, and the bundle stays small.
func TestNextAfterAnyPause(t *testing.T) {
	for _, pause := range []time.Duration{time.Minute, time.Hour, day, 11 * day, 29 * day, 45 * day, 400 * day} {
		var s state
		now := start
		for range 200 {
			var err error
			if s, _, err = monthly.next(s, true, now); err != nil {
				t.Fatal(err)
			}
			if s.current == nil || !now.Before(s.current.cert.NotAfter) {
				t.Fatalf("pause %s: no valid CA at %s", pause, now)
			}
			if n := len(s.trusted()); n > 3 {
				t.Fatalf("pause %s: %d certificates in the bundle", pause, n)
			}
			now = now.Add(pause)
		}
	}
}

func TestEncodeDecode(t *testing.T) {
	a, b, c := mustCA(t, start), mustCA(t, start), mustCA(t, start)
	for name, s := range map[string]state{
		"empty":   {},
		"current": {current: a},
		"waiting": {current: a, next: b},
		"full":    {current: a, next: b, since: start.Add(1500 * time.Millisecond), previous: []*x509.Certificate{c.cert, a.cert}},
	} {
		t.Run(name, func(t *testing.T) {
			data := map[string][]byte{"theirs": []byte("kept"), nextKey: []byte("outdated"), nextSince: []byte("outdated")}
			if err := s.encode(data); err != nil {
				t.Fatal(err)
			}
			if string(data["theirs"]) != "kept" {
				t.Error("a foreign key was lost")
			}
			got, problems := decode(data)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			ca := map[string]*authority{"a": a, "b": b, "c": c}
			if diff := cmp.Diff(roles(s, ca), roles(got, ca)); diff != "" {
				t.Errorf("after a round trip (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeDamage(t *testing.T) {
	a, b := mustCA(t, start), mustCA(t, start)
	good := map[string][]byte{}
	if err := (state{current: a, next: b, since: start, previous: []*x509.Certificate{b.cert}}).encode(good); err != nil {
		t.Fatal(err)
	}
	leaf, err := a.sign([]string{"x"}, start, day)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		key, value string
		problem    string
		want       map[string]string
	}{
		"no certificate":  {currentCert, "", "ca.crt: holds 0 certificates", map[string]string{"next": "b", "since": "0s", "previous": "b"}},
		"no PEM":          {currentCert, "hello", "ca.crt: holds something", map[string]string{"next": "b", "since": "0s", "previous": "b"}},
		"two":             {currentCert, string(encodeCerts(a.cert, b.cert)), "ca.crt: holds 2", map[string]string{"next": "b", "since": "0s", "previous": "b"}},
		"no CA":           {currentCert, string(encodeCerts(leaf.Leaf)), "is no CA", map[string]string{"next": "b", "since": "0s", "previous": "b"}},
		"key lost":        {currentKey, "", "ca.key: holds no PEM key", map[string]string{"next": "b", "since": "0s", "previous": "ba"}},
		"another's key":   {currentKey, string(good[nextKey]), "ca.key: holds a key that does not belong", map[string]string{"next": "b", "since": "0s", "previous": "ba"}},
		"key is none":     {nextKey, string(good[currentCert]), "next.key: holds no PKCS #8 key", map[string]string{"current": "a", "previous": "bb"}},
		"bad time":        {nextSince, "yesterday", "next.since", map[string]string{"current": "a", "next": "b", "previous": "b"}},
		"half a previous": {previousCert, string(encodeCerts(a.cert)) + "rest", "previous.crt", map[string]string{"current": "a", "next": "b", "since": "0s", "previous": "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			data := maps.Clone(good)
			data[tt.key] = []byte(tt.value)
			got, problems := decode(data)
			if len(problems) != 1 || !strings.Contains(problems[0].Error(), tt.problem) {
				t.Errorf("problems = %v, want one with %q", problems, tt.problem)
			}
			if diff := cmp.Diff(tt.want, roles(got, map[string]*authority{"a": a, "b": b})); diff != "" {
				t.Errorf("what was saved (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzDecode: whatever the Secret holds, one step later it holds a state that can sign and that reads back without a problem.
func FuzzDecode(f *testing.F) {
	a, b := mustCA(f, start), mustCA(f, start)
	data := map[string][]byte{}
	if err := (state{current: a, next: b, since: start, previous: []*x509.Certificate{b.cert}}).encode(data); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{}, []byte{}, []byte{}, []byte{}, []byte{}, []byte{})
	f.Add(data[currentCert], data[currentKey], data[nextCert], data[nextKey], data[nextSince], data[previousCert])
	f.Add(data[currentCert], data[nextKey], data[currentCert], data[currentKey], []byte("9999-12-31T23:59:59Z"), data[nextKey])
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), data[currentKey], []byte("\n"), []byte("\n"), []byte("0"), []byte("\n"))
	cheap := monthly
	cheap.make = func(time.Time, time.Duration) (*authority, error) { return a, nil }
	f.Fuzz(func(t *testing.T, ca, key, next, nkey, since, previous []byte) {
		data := map[string][]byte{currentCert: ca, currentKey: key, nextCert: next, nextKey: nkey, nextSince: since, previousCert: previous}
		s, _ := decode(data)
		s, _, err := cheap.next(s, true, start)
		if err != nil {
			t.Fatal(err)
		}
		if s.current == nil {
			t.Fatal("no CA after a step")
		}
		if err := s.encode(data); err != nil {
			t.Fatal(err)
		}
		again, problems := decode(data)
		if len(problems) > 0 {
			t.Fatalf("repaired, but %v", problems)
		}
		if !slices.EqualFunc(s.trusted(), again.trusted(), (*x509.Certificate).Equal) {
			t.Fatal("the bundle changed by writing and reading")
		}
	})
}
