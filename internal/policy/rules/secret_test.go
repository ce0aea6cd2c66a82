package rules_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
)

// secretForms are texts with a generated secret in them, by the rule that reports them.
var secretForms = []struct{ rule, form string }{
	{"literal-secret", "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=%s;EndpointSuffix=core.windows.net"},
	{"literal-secret", "AccountEndpoint=https://shop.documents.azure.com:443/;AccountKey=%s;"},
	{"literal-secret", "Endpoint=sb://shop.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=%s"},
	{"literal-secret", "https://shop.blob.core.windows.net/c?sv=2024-11-04&sig=%s"},
	{"literal-secret", "Server=db;User ID=shop;Password=%s;Encrypt=True"},
	{"literal-secret", "Endpoint=https://shop.azconfig.io;Id=x;Secret=%s"},
	{"literal-secret", "cache:6380,password=%s,ssl=True"},
	{"literal-secret", "ghp" + "_%s%[1]s"},
	{"literal-secret", "shop:%s@tcp(db:3306)/shop"},
	{"literal-secret", `org.apache.kafka.common.security.plain.PlainLoginModule required username="app" password="%s";`},
	{"literal-secret", "jdbc:oracle:thin:shop/%s@//db:1521/shop"},
	{"literal-secret", "SG" + ".%.22s.%[1]s%[1]s"},
	{"literal-secret", "hv" + "s.%s%[1]s"},
	{"literal-secret", "dckr" + "_pat_%s%[1]s"},
	{"literal-secret", "h" + "f_%s%[1]s"},
	{"literal-secret", "pypi" + "-AgE%s%[1]s%[1]s"},
	{"literal-secret", "sk" + "-%sT3Blbk" + "FJ%[1]s"},
	{"literal-secret", "sk" + "-ant-api03-%s%[1]s%[1]s%[1]s"},
	{"literal-secret", "gls" + "a_%s%.8[1]s_01234567"},
	{"credential-url", "postgres://shop:%s@db/shop"},
	{"credential-url", "%s://shop:%[1]s@db/shop"},
	{"credential-url", "curl -f http://admin:%s@localhost/ || exit 1"},
	{"suspect-secret", "%s"},
}

var secretRules = []string{"literal-secret", "credential-url", "suspect-secret"}

// generated is a secret that can be repeated: 24 letters and digits, of which no five stand in any message by chance.
func generated(seed uint64) string {
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, seed))
	return "Zq" + hex.EncodeToString(sum[:11])
}

// podWith puts a text where people put secrets, in the place given.
func podWith(t testing.TB, text string, place int) []byte {
	t.Helper()
	annotations := map[string]string{}
	container := map[string]any{"name": "api", "image": "shop:1"}
	exec := map[string]any{"exec": map[string]any{"command": []string{"check", text}}}
	switch place {
	case 0:
		container["env"] = []any{map[string]any{"name": "APP_PASSWORD", "value": text}}
	case 1:
		container["args"] = []string{"--app-password", text}
	case 2:
		container["args"] = []string{"--app-password=" + text}
	case 3:
		container["readinessProbe"] = map[string]any{"httpGet": map[string]any{"port": 80, "httpHeaders": []any{map[string]any{"name": "X-Password", "value": text}}}}
	case 4:
		container["command"] = []string{"sh", "-c", text}
	case 5:
		container["livenessProbe"] = exec
	case 6:
		container["lifecycle"] = map[string]any{"postStart": exec}
	case 7:
		annotations["example.com/password"] = text
	}
	pod, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "x", "annotations": annotations},
		"spec": map[string]any{"containers": []any{container}}})
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

const (
	places      = 8
	namedPlaces = 4 // the first, where a name stands beside the text
)

func judgePod(t testing.TB, pod []byte) []policy.Finding {
	t.Helper()
	verdict, err := review.Judge(review.Input{Object: manifest.Object{APIVersion: "v1", Kind: "Pod", Name: "x", JSON: pod}, Policy: policy.Default(rules.Catalogue{}), Facts: reviewtest.Facts})
	if err != nil {
		t.Fatal(err)
	}
	return verdict.Findings
}

// says fails if a finding of any rule holds a part of the secret.
func says(t *testing.T, findings []policy.Finding, secret string) {
	t.Helper()
	for _, f := range findings {
		for i := 0; i+5 <= len(secret); i++ {
			if strings.Contains(f.String(), secret[i:i+5]) {
				t.Fatalf("%s says a part of the secret %q: %s", f.Rule, secret, f)
			}
		}
	}
}

// One value has one finding, of the rule that knows most, wherever it stands; and no rule says the value.
func TestOneSecretOneFinding(t *testing.T) {
	for seed, form := range secretForms {
		secret := generated(uint64(seed))
		plain := fmt.Sprintf(form.form, secret)
		texts := []string{plain}
		if form.rule != "suspect-secret" {
			texts = append(texts, base64.StdEncoding.EncodeToString([]byte(plain)))
		}
		for _, text := range texts {
			for place := range places {
				if form.rule == "suspect-secret" && place >= namedPlaces {
					continue // without a name it is a word like any other
				}
				findings := judgePod(t, podWith(t, text, place))
				says(t, findings, secret)
				says(t, findings, base64.StdEncoding.EncodeToString([]byte(plain)))
				var told []string
				for _, f := range findings {
					if slices.Contains(secretRules, f.Rule) {
						told = append(told, f.Rule)
					}
				}
				if !slices.Equal(told, []string{form.rule}) {
					t.Errorf("%s at place %d: %v, want %s", form.form, place, told, form.rule)
				}
			}
		}
	}
}

// In a script names stand before values, too: one finding for the script, which says neither.
func TestSecretsInScripts(t *testing.T) {
	for seed, form := range []string{"export DB_PASSWORD=%s; exec /app", "PGPASSWORD='%s' psql -h db", "/app --password %s", "/app --api-key=%s", "env APP_TOKEN=%s /app",
		"mysqladmin ping -uroot -p%s", "redis-cli -a %s ping", "curl -u shop:%s http://api", "curl -H 'Authorization: Bearer %s' http://api", "sqlcmd -S . -U sa -P %s -Q 'select 1'"} {
		secret := generated(uint64(seed)) + "Kx7Rw"
		findings := judgePod(t, podWith(t, fmt.Sprintf(form, secret), 4))
		says(t, findings, secret)
		if i := slices.IndexFunc(findings, func(f policy.Finding) bool { return f.Rule == "suspect-secret" }); i < 0 || findings[i].Path != `spec.containers[name="api"].command[2]` {
			t.Errorf("%s: nothing found in the script", form)
		}
	}
	for _, form := range []string{"export DB_PASSWORD=$(cat /run/secrets/db); exec /app", `/app --password "$DB_PASSWORD"`, "curl -u shop:$PASSWORD http://api", "mysqladmin ping -uroot -p$MYSQL_ROOT_PASSWORD", "mkdir -p /data/Shop-9xKq2"} {
		for _, f := range judgePod(t, podWith(t, form, 4)) {
			if slices.Contains(secretRules, f.Rule) {
				t.Errorf("%s: %s", form, f)
			}
		}
	}
}

// FuzzSecrets surrounds a generated secret with anything: no panic, and no part of it in what any rule says.
func FuzzSecrets(f *testing.F) {
	for i := range secretForms {
		f.Add(uint64(i), uint8(i), uint8(i), "", "")
	}
	f.Add(uint64(1), uint8(0), uint8(4), "cd /app && ", " > /var/log/app.log")
	f.Add(uint64(2), uint8(9), uint8(0), "${A:-", "}")
	f.Add(uint64(3), uint8(12), uint8(4), "apt-get install ", " | tee /tmp/x.log")
	f.Fuzz(func(t *testing.T, seed uint64, form, place uint8, before, after string) {
		secret := generated(seed)
		text := before + fmt.Sprintf(secretForms[int(form)%len(secretForms)].form, secret) + after
		for _, finding := range judgePod(t, podWith(t, text, int(place)%places)) {
			if finding.Path == "" || finding.Message == "" || finding.Fix == "" {
				t.Errorf("incomplete: %+v", finding)
			}
			if slices.Contains(secretRules, finding.Rule) {
				says(t, []policy.Finding{finding}, secret)
			}
		}
	})
}

// BenchmarkSecrets judges a pod as most are: much text and no secret.
func BenchmarkSecrets(b *testing.B) {
	inputs := reviewtest.Load(b, filepath.Join("testdata", "suspect-secret", "pass", "charts.yaml"))
	b.ReportAllocs()
	for b.Loop() {
		for _, input := range inputs {
			if _, err := review.Judge(input); err != nil {
				b.Fatal(err)
			}
		}
	}
}
