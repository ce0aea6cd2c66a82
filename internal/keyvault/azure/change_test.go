package azure_test

import (
	"errors"
	"testing"
	"time"

	"twelvefold.dev/internal/emulator"
	"twelvefold.dev/internal/keyvault/azure"
)

func TestNewestChange(t *testing.T) {
	w := start(t, emulator.Reader) // metadata is enough
	client := w.client(t, nil)
	begin := time.Now().Truncate(time.Second)
	w.set(t, emulator.Secret{Name: "a", Value: "v"})
	first, err := client.NewestChange(t.Context(), secret("a"))
	if err != nil || first.Before(begin) {
		t.Fatalf("got %v, %v; want %v or later", first, err, begin)
	}
	w.set(t, emulator.Secret{Name: "a", Value: "w"})
	if second, err := client.NewestChange(t.Context(), secret("a")); err != nil || !second.After(first) {
		t.Errorf("got %v, %v; want later than %v", second, err, first)
	}
	for _, r := range w.Requests() {
		if r.Host == shop && r.Path != "/secrets/a/versions" {
			t.Errorf("asked for %s", r.Path)
		}
	}
}

// What could not be read by a new pod is no reason to make one.
func TestNewestChangeThatNobodyMayRead(t *testing.T) {
	w := start(t, emulator.Reader)
	past := time.Now().Add(-time.Hour)
	for _, name := range []string{"off", "expired", "denied"} {
		w.set(t, emulator.Secret{Name: name, Value: "v"})
	}
	w.set(t, emulator.Secret{Name: "off", Value: "w", Disabled: true})
	w.set(t, emulator.Secret{Name: "expired", Value: "w", Expires: &past})
	for name, kind := range map[string]azure.Kind{"absent": azure.Missing, "off": azure.Disabled, "expired": azure.Disabled} {
		var f *azure.Failure
		if _, err := w.client(t, nil).NewestChange(t.Context(), secret(name)); !errors.As(err, &f) || f.Kind != kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.Fail(shop, emulator.Fault{Status: 403})
	if _, err := w.client(t, nil).NewestChange(t.Context(), secret("denied")); err == nil {
		t.Error("no error where listing is denied")
	}
	if n := w.count(200, "/secrets/denied"); n != 0 {
		t.Error("it read the value instead")
	}
}
