package envfile_test

import (
	"errors"
	"strings"
	"testing"

	"twelvefold.dev/internal/keyvault/envfile"
)

const secret = "secret db-password in vault shop.vault.azure.net"

func encode(value string) (string, error) {
	out, err := envfile.Encode([]envfile.Entry{{Key: "K0", EnvName: "DB_PASSWORD", Secret: secret, Value: value}})
	return string(out), err
}

func TestCarries(t *testing.T) {
	for name, value := range map[string]string{
		"plain":                      "p4ssword",
		"quotes, dollars, backslash": `"$HOME" \n $(X) $$ #=`,
		"blanks":                     "  \t ",
		"lines":                      "-----BEGIN\nabc\n\n-----END\n",
		"lone and final CR":          "a\rb\r",
		"byte order mark":            "\ufeffv",
		"UTF-8":                      "grün 密",
		"64 KiB in lines":            strings.Repeat(strings.Repeat("x", 99)+"\n", 656),
		"longest only line":          strings.Repeat("x", 65535-len("K0=''")),
		"longest first line":         strings.Repeat("x", 65535-len("K0='")) + "\n",
		"longest last line":          "\n" + strings.Repeat("x", 65535-len("'")),
		"longest variable":           strings.Repeat(strings.Repeat("x", 99)+"\n", 1310) + strings.Repeat("y", 70-len("DB_PASSWORD")),
	} {
		t.Run(name, func(t *testing.T) {
			out, err := encode(value)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := parse(out, "K0"); err != nil || got != value {
				t.Errorf("comes back as %q, %v", got, err)
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ value, problem string }{
		"single quote":       {"s3cret'", "single quote"},
		"NUL":                {"s3cret\x00x", "NUL"},
		"empty":              {"", "empty"},
		"CR LF":              {"s3cret\r\nx", "CR LF"},
		"invalid UTF-8":      {"s3cret\xff", "UTF-8"},
		"only line too long": {strings.Repeat("x", 65536-len("K0=''")), "line of"},
		"first line":         {strings.Repeat("x", 65536-len("K0='")) + "\n", "line of"},
		"last line":          {"\n" + strings.Repeat("x", 65536-len("'")), "line of"},
		"variable too long":  {strings.Repeat(strings.Repeat("x", 99)+"\n", 1310) + strings.Repeat("y", 71-len("DB_PASSWORD")), "131070"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := encode(tc.value)
			var refusal *envfile.Refusal
			if !errors.As(err, &refusal) || out != "" {
				t.Fatalf("got %q, %v; want a refusal", out, err)
			}
			for _, want := range []string{secret, "DB_PASSWORD", tc.problem, "file.twelvefold.dev/"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "s3cret") || len(err.Error()) > 400 {
				t.Errorf("the message holds the value: %q", err)
			}
		})
	}
}

func TestOptional(t *testing.T) {
	out, err := envfile.Encode([]envfile.Entry{
		{Key: "K0", EnvName: "A", Secret: secret, Optional: true},
		{Key: "K1", EnvName: "B", Secret: secret, Value: "v", Optional: true},
	})
	if want := "K1='v'\n"; err != nil || string(out) != want {
		t.Errorf("got %q, %v; want %q", out, err, want)
	}
}

func TestAllRefusalsAtOnce(t *testing.T) {
	_, err := envfile.Encode([]envfile.Entry{
		{Key: "K0", EnvName: "A", Secret: "first", Value: "'"},
		{Key: "K1", EnvName: "B", Secret: "second", Value: "\x00"},
	})
	if err == nil || !strings.Contains(err.Error(), "first") || !strings.Contains(err.Error(), "second") {
		t.Errorf("got %v, want both", err)
	}
}

func TestTotal(t *testing.T) {
	var entries []envfile.Entry
	value := strings.Repeat(strings.Repeat("x", 1023)+"\n", 64)
	for i := range 32 {
		entries = append(entries, envfile.Entry{Key: "K" + string(rune('A'+i%26)) + string(rune('A'+i/26)), EnvName: "A", Secret: "last", Value: value})
	}
	if _, err := envfile.Encode(entries[:31]); err != nil {
		t.Errorf("31 values of 64 KiB: %v", err)
	}
	if _, err := envfile.Encode(entries); err == nil || !strings.Contains(err.Error(), "2 MiB") {
		t.Errorf("32 values of 64 KiB: got %v, want a refusal", err)
	}
}

func TestBadKeys(t *testing.T) {
	for name, keys := range map[string][]string{"comment": {"#K"}, "blank": {" K"}, "empty": {""}, "equals": {"K=1"}, "twice": {"K0", "K0"}} {
		var entries []envfile.Entry
		for _, k := range keys {
			entries = append(entries, envfile.Entry{Key: k, EnvName: "A", Secret: secret, Value: "v"})
		}
		var refusal *envfile.Refusal
		if _, err := envfile.Encode(entries); err == nil || errors.As(err, &refusal) {
			t.Errorf("%s: got %v, want an error that isn't about the value", name, err)
		}
	}
}

// What is accepted comes back as it went in, beside a neighbour on either side.
func FuzzRoundTrip(f *testing.F) {
	for _, seed := range []string{"v", "", "'", "a'b", "\x00", "\r\n", "\r", "\n'\n", "#", "K2='x'", "\xff", "$(A)", "\ufeff", " v ", strings.Repeat("x", 65531)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		out, err := envfile.Encode([]envfile.Entry{
			{Key: "K0", EnvName: "A", Secret: "s", Value: "before"},
			{Key: "K1", EnvName: "B", Secret: "s", Value: value},
			{Key: "K2", EnvName: "C", Secret: "s", Value: "after"},
		})
		if err != nil {
			var refusal *envfile.Refusal
			if !errors.As(err, &refusal) {
				t.Fatalf("a value is refused by another error than a refusal: %v", err)
			}
			return
		}
		for key, want := range map[string]string{"K0": "before", "K1": value, "K2": "after"} {
			if got, err := parse(string(out), key); err != nil || got != want {
				t.Errorf("%s = %q, %v; want %q", key, got, err, want)
			}
		}
	})
}
