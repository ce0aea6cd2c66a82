package azure_test

import (
	"errors"
	"strings"
	"testing"

	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/keyvault/azure"
)

func TestNewest(t *testing.T) {
	w := start(t, emulator.Reader) // metadata is enough
	var want string
	for range 40 { // two pages
		want = w.set(t, emulator.Secret{Name: "a", Value: "v"})
	}
	w.set(t, emulator.Secret{Name: "a", Value: "v", Disabled: true})
	got, err := w.client(t, nil).Newest(t.Context(), secret("a"))
	if err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if n := w.count(200, "/secrets/a/versions"); n != 2 {
		t.Errorf("%d pages, want 2", n)
	}
	for _, r := range w.Requests() {
		if r.Host == shop && r.Path != "/secrets/a/versions" {
			t.Errorf("asked for %s", r.Path)
		}
	}
}

func TestNewestFails(t *testing.T) {
	w := start(t, emulator.Reader)
	w.set(t, emulator.Secret{Name: "off", Value: "v", Disabled: true})
	for name, tc := range map[string]struct {
		object    string
		fault     emulator.Fault
		kind      azure.Kind
		temporary bool
		text      string
	}{
		"missing":   {"absent", emulator.Fault{}, azure.Missing, false, "it does not exist"},
		"disabled":  {"off", emulator.Fault{}, azure.Disabled, false, "disabled"},
		"throttled": {"off", emulator.Fault{Status: 429}, azure.Unreachable, true, "throttled"},
		"broken":    {"off", emulator.Fault{Status: 503}, azure.Unreachable, true, "503"},
		"down":      {"off", emulator.Fault{Down: true}, azure.Unreachable, true, "cannot reach"},
		"denied":    {"off", emulator.Fault{Status: 403}, azure.Denied, false, "Key Vault Secrets User"},
	} {
		t.Run(name, func(t *testing.T) {
			w.Heal(shop)
			if tc.fault != (emulator.Fault{}) {
				w.Fail(shop, tc.fault)
			}
			_, err := w.client(t, nil).Newest(t.Context(), secret(tc.object))
			var f *azure.Failure
			if !errors.As(err, &f) || f.Kind != tc.kind || f.Temporary() != tc.temporary || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v (%+v)", err, f)
			}
		})
	}
}

// An access policy may give Get without List.
func TestNewestOfWhoMayNotList(t *testing.T) {
	w := start(t, emulator.SecretsUser)
	want := w.set(t, emulator.Secret{Name: "a", Value: "v"})
	w.Fail(shop, emulator.Fault{Status: 403, Path: "/secrets/a/versions"})
	c := w.client(t, nil)
	for range 2 {
		if got, err := c.Newest(t.Context(), secret("a")); err != nil || got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	if n := w.answers(403); n != 1 {
		t.Errorf("listing was tried %d times, want once", n)
	}
}

func TestNewestOfStrangeAnswers(t *testing.T) {
	for name, body := range map[string]string{"nulls": `{"value": [null, {}]}`, "no list": `{}`, "another type": `{"value": "s3cret"}`} {
		t.Run(name, func(t *testing.T) {
			w := start(t, emulator.Reader)
			w.Fail(shop, emulator.Fault{Status: 200, Body: body})
			_, err := w.client(t, nil).Newest(t.Context(), secret("a"))
			if err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "internal error") {
				t.Errorf("got %v", err)
			}
		})
	}
}
