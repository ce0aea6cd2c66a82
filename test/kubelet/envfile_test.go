// Package kubelet_test holds our env files against the kubelet's own parser (KEP-3721).
package kubelet_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"k8s.io/kubernetes/pkg/kubelet/util/env"

	"twelvefold.dev/internal/keyvault/envfile"
)

// What our writer accepts, the kubelet reads as it was, beside neighbours that it reads too. What our writer refuses as
// unreadable really would be: it refuses nothing out of caution.
func FuzzKubeletReadsWhatWeWrite(f *testing.F) {
	for _, seed := range []string{
		"v", "", "'", "a'b", "\x00", "\r\n", "a\rb\r", "\n'\n", "#", "K2='x'", "\xff", "$(A) $$ ${B} `c`", "\ufeff", " v ", "\t", "\\", "\"",
		"-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n", strings.Repeat("x", 65530), strings.Repeat("x", 65531),
		"\n" + strings.Repeat("x", 65534), "\n" + strings.Repeat("x", 65535), "grün 密", "export A='1'\n# no comment",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		text, err := envfile.Encode([]envfile.Entry{
			{Key: "K0", EnvName: "A", Secret: "s", Value: "before"},
			{Key: "K1", EnvName: "B", Secret: "s", Value: value},
			{Key: "K2", EnvName: "C", Secret: "s", Value: "after"},
		})
		if err != nil {
			needed(t, value, err)
			return
		}
		for key, want := range map[string]string{"K0": "before", "K1": value, "K2": "after"} {
			if got, err := parse(t, text, key); err != nil || got != want {
				t.Errorf("the kubelet reads %s as %q, %v; want %q", key, got, err, want)
			}
		}
	})
}

// needed fails where a refusal is not: the kubelet would have read the value, and nothing after it would have changed it.
func needed(t *testing.T, value string, err error) {
	t.Helper()
	var refusal *envfile.Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("a value is refused by another error than a refusal: %v", err)
	}
	switch { // the kubelet's parser lets these pass; what follows it does not
	case strings.Contains(value, "\x00"), // ends the variable, and puts it into the pod's status
		!utf8.ValidString(value),        // the CRI's messages hold UTF-8 only
		value == "",                     // taken for a missing key
		len("B")+len(value) > 128<<10-2: // more than execve takes
		return
	}
	if got, parseErr := parse(t, []byte("K1='"+value+"'\nK2='after'\n"), "K1"); parseErr == nil && got == value {
		t.Errorf("%v: but the kubelet reads it as it is", err)
	}
}

func parse(t *testing.T, text []byte, key string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return env.ParseEnv(file, key)
}
