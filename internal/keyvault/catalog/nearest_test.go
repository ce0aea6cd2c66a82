package catalog

import (
	"slices"
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	names := []string{"db-password", "db-passwords", "api-key", "api-keys", "tls", "queue-connection-string", "aa", "ab"}
	for wanted, want := range map[string]string{
		"db-pasword":    "db-password",
		"dbpassword":    "db-password",
		"db-passwort":   "db-password",
		"db-password-":  "db-password", // not db-passwords, though as near: the alphabet decides
		"db-password1":  "db-password",
		"api-kex":       "api-key",
		"queue":         "queue-connection-string", // cut off
		"api-keys-prod": "api-key",                 // the other way round
		"ac":            "aa",
		"tl":            "tls",
		"zzz":           "",
		"password":      "db-password",
		"":              "",
	} {
		for range 3 { // whatever the order
			if got := nearest(wanted, slices.Values(names)); got != want {
				t.Errorf("%q: %q, want %q", wanted, got, want)
			}
			slices.Reverse(names)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 2}, {"abc", "abc", 0}} {
		if got := distance(tc.a, tc.b, 9); got != tc.want {
			t.Errorf("%q to %q: %d, want %d", tc.a, tc.b, got, tc.want)
		}
		if got := distance(tc.b, tc.a, 9); got != tc.want {
			t.Errorf("%q to %q: %d, want %d", tc.b, tc.a, got, tc.want)
		}
	}
	if got := distance(strings.Repeat("a", 127), strings.Repeat("b", 127), 2); got != 3 {
		t.Errorf("it counts on to %d", got)
	}
}

func BenchmarkNearest(b *testing.B) {
	var names []string
	for i := range hinted {
		names = append(names, "team-service-secret-"+strings.Repeat("x", i%9)+string(rune('a'+i%26)))
	}
	for b.Loop() {
		nearest("team-service-sekret-y", slices.Values(names))
	}
}
