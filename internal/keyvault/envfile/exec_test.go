package envfile_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/keyvault/envfile"
)

func entry(value string) []envfile.Entry {
	return []envfile.Entry{{Key: "K0", EnvName: "DB_PASSWORD", Secret: secret, Value: value}}
}

func TestExecCarries(t *testing.T) {
	for name, value := range map[string]string{
		"plain": "p4ssword", "quotes": `'"`, "empty": "", "CR LF": "a\r\nb\n", "invalid UTF-8": "\xff\xfe", "long line": strings.Repeat("x", 131070-len("DB_PASSWORD")),
	} {
		t.Run(name, func(t *testing.T) {
			out, err := envfile.EncodeExec(entry(value))
			if err != nil {
				t.Fatal(err)
			}
			got, err := envfile.DecodeExec(out)
			if err != nil || got["K0"] != value || len(got) != 1 {
				t.Errorf("comes back as %q, %v", got, err)
			}
		})
	}
}

func TestExecRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ value, problem string }{
		"NUL": {"s3cret\x00x", "NUL"}, "variable too long": {"s3cret" + strings.Repeat("x", 131071-len("DB_PASSWORD")-6), "131070"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := envfile.EncodeExec(entry(tc.value))
			var refusal *envfile.Refusal
			if !errors.As(err, &refusal) || out != nil {
				t.Fatalf("got %q, %v; want a refusal", out, err)
			}
			for _, want := range []string{secret, "DB_PASSWORD", tc.problem, "file.twelvefold.dev/<file name>"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "delivery") {
				t.Errorf("the message is %q", err)
			}
		})
	}
}

func TestExecTotal(t *testing.T) {
	var entries []envfile.Entry
	for _, key := range strings.Fields("K0 K1 K2 K3 K4 K5 K6 K7 K8 K9 K10 K11 K12 K13 K14 K15 K16 K17 K18 K19 K20 K21") {
		entries = append(entries, envfile.Entry{Key: key, EnvName: "A", Secret: "last", Value: strings.Repeat("x", 100_000)})
	}
	if _, err := envfile.EncodeExec(entries[:20]); err != nil {
		t.Error(err)
	}
	if _, err := envfile.EncodeExec(entries); err == nil || !strings.Contains(err.Error(), "2 MiB") {
		t.Errorf("got %v, want a refusal", err)
	}
}

// The env file's refusals name exec where it is a way out.
func TestWaysOut(t *testing.T) {
	for value, exec := range map[string]bool{
		"'": true, "": true, "\r\n": true, "\xff": true, strings.Repeat("x", 65536): true,
		"'\x00": false, "'" + strings.Repeat("x\n", 70_000): false,
	} {
		_, err := envfile.Encode(entry(value))
		if err == nil || !strings.Contains(err.Error(), "file.twelvefold.dev/<file name>") || strings.Contains(err.Error(), "twelvefold.dev/delivery: exec") != exec {
			t.Errorf("%.10q: %v, want exec as a way out: %v", value, err, exec)
		}
	}
}

func TestDecodeQuotesNothing(t *testing.T) {
	for _, text := range []string{"", "s3cret", `{"K0": "s3cret!"}`, `{"K0": 3}`, `["s3cret"]`} {
		if _, err := envfile.DecodeExec([]byte(text)); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestExpand(t *testing.T) {
	values := map[string]string{"K0": "pa$$'\n\xff", "K1": "@Twelvefold(K0)", "K2": "", "K12": "=x="}
	got := envfile.Expand([]string{
		"PLAIN=x", "WHOLE=@Twelvefold(K0)", "INSIDE=a @Twelvefold(K0)@Twelvefold(K12) b", "TWICE=@Twelvefold(K0)@Twelvefold(K0)", "AGAIN=@Twelvefold(K1)",
		"EMPTY=@Twelvefold(K2)", "GONE=@Twelvefold(K7)", "PART=<@Twelvefold(K7)>", "BOTH=@Twelvefold(K7)@Twelvefold(K7)",
		"OTHER=@Twelvefold(x) @twelvefold(K0) @Twelvefold(K0", "@Twelvefold(K0)=name", "NOVALUE", "=odd", "",
	}, values)
	want := []string{
		"PLAIN=x", "WHOLE=pa$$'\n\xff", "INSIDE=a pa$$'\n\xff=x= b", "TWICE=pa$$'\n\xffpa$$'\n\xff", "AGAIN=@Twelvefold(K0)",
		"EMPTY=", "PART=<>", "BOTH=", "OTHER=@Twelvefold(x) @twelvefold(K0) @Twelvefold(K0", "@Twelvefold(K0)=name", "NOVALUE", "=odd", "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := envfile.Expand([]string{"A=" + envfile.Placeholder("K12")}, values); got[0] != "A==x=" {
		t.Errorf("got %q", got)
	}
}
