package secretscan_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"unicode/utf8"

	"twelvefold.dev/internal/secretscan"
)

// Tokens are put together here: written out, scanners of repositories would take them for a leak.
var (
	body   = strings.Repeat("FAKEfake", 12)
	key88  = body[:76] + "+ASt" + "FAKEf" + "A=="
	tokens = map[string]string{
		"github":        "ghp" + "_" + body[:36],
		"github fine":   "github" + "_pat_" + body[:82],
		"gitlab":        "glpat" + "-" + body[:20],
		"slack":         "xoxb" + "-1234567890-" + body[:24],
		"slack app":     "xapp" + "-1-A0-" + body[:24],
		"slack webhook": "https://hooks.slack" + ".com/services/T00000000/B00000000/" + body[:24],
		"stripe":        "sk" + "_live_" + body[:24],
		"stripe test":   "rk" + "_test_" + body[:24],
		"stripe hook":   "whsec" + "_" + body[:32],
		"npm":           "npm" + "_" + body[:36],
		"google oauth":  "GOCSPX" + "-" + body[:28],
		"google access": "ya29" + "." + body[:40],
		"aws":           "ASIA" + strings.Repeat("FAKE", 4),
		"entra":         "FAK8Q" + "~" + body[:34],
		"storage key":   key88,
		"cosmos key":    body[:76] + "ACDb" + "FAKEf" + "A==",
		"service bus":   body[:33] + "+ASb" + "A" + "FAKEf" + "=",
		"redis key":     body[:33] + "AzCa" + "A" + "FAKEf" + "=",
		"registry":      body[:42] + "+ACR" + "A" + "FAKEf",
		"functions":     body[:44] + "AzFu" + "FAKEf" + "A==",
		"search":        body[:42] + "AzSe" + "A" + "FAKEf",
		"api managem.":  body[:76] + "APIM" + "FAKEf" + "A==",
		"event grid":    body[:33] + "AZEG" + "A" + "FAKEf" + "=",
		"relay":         body[:33] + "+ARm" + "A" + "FAKEf" + "=",
		"devops":        body[:76] + "AZDO" + "FAKE",
		"openai azure":  body[:52] + "JQQJ9" + "9" + body[:26],
		"pypi":          "pypi" + "-AgE" + body[:60],
		"docker":        "dckr" + "_pat_" + body[:27],
		"openai":        "sk" + "-" + body[:20] + "T3Blbk" + "FJ" + body[:20],
		"openai proj":   "sk" + "-proj-" + body[:64],
		"anthropic":     "sk" + "-ant-api03-" + body[:90],
		"hugging face":  "hf" + "_" + body[:34],
		"sendgrid":      "SG" + "." + body[:22] + "." + body[:43],
		"grafana":       "glsa" + "_" + body[:32] + "_0123abcd",
		"vault":         "hvs" + "." + body[:90],
		"sentry":        "sntrys" + "_" + body[:64],
		"databricks":    "dapi" + strings.Repeat("0f", 16),
		"digitalocean":  "dop" + "_v1_" + strings.Repeat("0f", 32),
		"shopify":       "shpat" + "_" + strings.Repeat("0f", 16),
		"age":           "AGE-SECRET" + "-KEY-1" + strings.Repeat("QPZRY9", 9),
	}
)

func TestTokens(t *testing.T) {
	for name, token := range tokens {
		for place, text := range map[string]string{"alone": token, "quoted": `{"token":"` + token + `"}`, "script": "export T=" + token + "; app", "line": "a: b\nc: " + token + "\n"} {
			s, ok := secretscan.Find("", text)
			if !ok || s.Encoded || s.Published || strings.Contains(s.Kind, "FAKE") {
				t.Errorf("%s, %s: %+v %v", name, place, s, ok)
			}
		}
		if s, ok := secretscan.Find("", base64.StdEncoding.EncodeToString([]byte(token))); !ok || !s.Encoded {
			t.Errorf("%s in base64: %+v %v", name, s, ok)
		}
		if s, ok := secretscan.Find("", base64.URLEncoding.EncodeToString([]byte("token: "+token))); !ok || !s.Encoded {
			t.Errorf("%s in base64 for URLs: %+v %v", name, s, ok)
		}
	}
}

// Texts that look alike.
func TestNothingFound(t *testing.T) {
	for _, text := range []string{
		"", "x", "=", ";=;", "a=b", "Password=", "AccountKey=", "AccountKey=;", "AccountKey=${KEY}", "AccountKey=$(KEY)", "AccountKey=$KEY", "AccountKey=<key>", "AccountKey=...",
		"Server=db;Password=REDACTED", "Password=hunter2", "password=x", "Server=db", "the server = db", "DB_PASSWORD=hunter2 DB_SERVER=db", "spring.password=hunter2;spring.server=db",
		"Server=db;Password=@Microsoft.KeyVault(VaultName=v;SecretName=s)", "Server=db;Password=${@Microsoft.KeyVault(VaultName=v;SecretName=s)};Encrypt=True",
		`{"c":"Server=db;Password=","d":"x"}`, "Server=db;Password='';Encrypt=True", "host=db user=shop password=%s dbname=shop",
		"?sv=2024&sig=<signature>", "?sig=x", "id=1;secret=x", "--mount=type=secret,id=npm", "endpoint=x accesskey=y",
		"-----BEGIN CERTIFICATE-----\n" + body + "\n", "-----BEGIN PRIVATE KEY-----", "grep -q 'BEGIN RSA PRIVATE KEY' /tls/key && start", "-----BEGIN PRIVATE KEY-----\n<key>\n-----END PRIVATE KEY-----",
		"eyJ", "eyJhbGciOi.eyJzdWIi.x", "ghp_short", "npm_config_cache", "npm_package_config_some_quite_long_name_of_it", "AKIASHORT", "sk_live_x",
		"sha512-" + base64.StdEncoding.EncodeToString([]byte(body[:64])), "registry.k8s.io/ingress-nginx/controller@sha256:" + strings.Repeat("0f", 32),
		"dXNlcm5hbWUgYW5kIG5vIHBhc3N3b3JkIGhlcmU=", "InstrumentationKey=00000000-1111-2222-3333-444444444444;IngestionEndpoint=https://x",
		`org.apache.kafka.common.security.plain.PlainLoginModule required username="a" password="${PASSWORD}";`, "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;",
		"jdbc:oracle:thin:@//db:1521/shop", "jdbc:oracle:thin:shop/$(PASSWORD)@db:1521/shop", "pk_live_0123456789abcdefghij", "SG.short.x", "hf_hub_download", "sk-learn", "dapi", "hvs.x",
		"Endpoint=sb://x.servicebus.windows.net/;Authentication=Managed Identity", "DOCKER_OPTS=--password-stdin --host=tcp://x",
	} {
		if s, ok := secretscan.Find("VALUE", text); ok {
			t.Errorf("%q: %+v", text, s)
		}
	}
}

func TestFindURL(t *testing.T) {
	for text, want := range map[string]secretscan.URL{
		"postgres://a:secret@h/d":                  {Scheme: "postgres", Whole: true},
		"POSTGRES://a:secret@h/d":                  {Scheme: "postgres", Whole: true},
		"hunter2+x://a:secret@h":                   {Whole: true}, // what stands there is anybody's
		"curl http://a:secret@h -o x":              {Scheme: "http"},
		"redis://:12345@h":                         {Scheme: "redis", Whole: true},
		"mysql://a:p@ss@h/d":                       {Scheme: "mysql", Whole: true},
		"http://h:80/ http://a:secret@h":           {Scheme: "http"},
		"cG9zdGdyZXM6Ly9hOnNlY3JldEBoL2Q=":         {Scheme: "postgres", Whole: true, Encoded: true},
		"jdbc:oracle:thin:@//h ldap://a:changeme@": {Scheme: "ldap"},
	} {
		if got, ok := secretscan.FindURL(text); !ok || got != want {
			t.Errorf("%s: %+v %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "://", "://:@", "a://:@b", "http://a@b", "http://a:@b", "http://a:$(P)@b", "http://a:${P}@b", "http://a:***@b", "http://a:<p>@b", "http://a:{{ .p }}@b",
		"http://a:$P@b", "http://a:%s@b", "http://a:REDACTED@b", "http://a:[REDACTED]@b", "http://h:80/@x", "http://h:8080?x=@y", "oci://localhost:5000/app@sha256:0f", "http://[::1]:80/@x", "ssh://git@h:22/x@y", "https://h/a:b@c"} {
		if got, ok := secretscan.FindURL(text); ok {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

// Some secrets are certain only by their name, and some are none by it.
func TestFindByName(t *testing.T) {
	google, jwt := "AIza"+body[:35], "eyJhbGciOiJI.eyJzdWIiOiIx."+body[:43]
	for _, test := range []struct {
		name, text string
		want       bool
	}{
		{"VAULT_TOKEN", "s." + body[:24], true}, {"VALUE", "s." + body[:24], false},
		{"MAPS", google, true}, {"NEXT_PUBLIC_FIREBASE_API_KEY", google, false}, {"VITE_SUPABASE_ANON_KEY", jwt, false}, {"REACT_APP_TOKEN", "ghp" + "_" + body[:36], true},
		{"JAAS", `org.apache.kafka.common.security.plain.PlainLoginModule required username="a" password="x";`, true},
		{"URL", "jdbc:oracle:thin:shop/tiger@//db:1521/shop", true},
	} {
		if s, ok := secretscan.Find(test.name, test.text); ok != test.want {
			t.Errorf("%s: %+v %v", test.name, s, ok)
		}
	}
}

func TestSuspect(t *testing.T) {
	const random = "kX9vQ2mZr7Lp0Tw"
	for _, name := range []string{"PASSWORD", "db-password", "DbPassword", "Db__Password", "app.secret", "API_KEY", "apikey", "TOKEN", "--token", "CLIENT_SECRET_2", "DBPassword",
		"AZDO_PAT", "REDIS_AUTH", "SPEECH_KEY", "AZURE_SEARCH_ADMIN_KEY", "AIRFLOW__CORE__FERNET_KEY", "PGPASSWORD"} {
		if !secretscan.Suspect(name, random) {
			t.Errorf("%s is not suspect", name)
		}
	}
	for _, name := range []string{"", "-", "KEY", "CACHE_KEY", "PUBLIC_KEY", "PASSWORD_FILE", "passwordFile", "TOKEN_TTL", "SECRET_NAME", "COMPASS", "BYPASS_CACHE", "SECRETARY", "KEY_ID",
		"PAT_COUNT", "AUTH_FLOW", "SECRET_MANAGER_PROJECT", "PRIMARY_KEY", "ROUTING_KEY"} {
		if secretscan.Suspect(name, random) {
			t.Errorf("%s is suspect", name)
		}
	}
}

// Keys in hex have less entropy by nature, and passwords of less than 12 characters can't have enough.
func TestSuspectValues(t *testing.T) {
	for value, want := range map[string]bool{
		"40b244112641dd78dd4f93b6c9190dd4": true, "00000000000000000000000000000000": false, "deadbeefdeadbeef": false,
		"S3cret-9x": true, "Passw0rd": true, "changeme": false, "password1": false, "development": false, "Str0ng-Pa55word": true,
		"base64:Tf9Oo0DwqCPxXT9PAati6uDl2lecy4Uf=":              true,
		"jwt,priv-key=/certs/jwt.pem,sign-method=RS256,ttl=10m": false,
	} {
		if got := secretscan.Suspect("DB_PASSWORD", value); got != want {
			t.Errorf("%s: %v", value, got)
		}
	}
	for _, value := range []string{"shop-db-8f7k2mbhc6", `["acr-pull-01","ghcr-pull"]`, "acr-pull-01, ghcr-pull", "secret/data/shop/v2"} {
		if secretscan.Suspect("PULL_SECRET", value) {
			t.Errorf("%s is the name of an object", value)
		}
	}
}

// Whatever the text, nothing of it comes back, and a reference makes no secret of what had none.
func FuzzFind(f *testing.F) {
	for _, token := range tokens {
		f.Add("NAME", token)
		f.Add("--aws-secret-access-key", base64.StdEncoding.EncodeToString([]byte(token)))
	}
	for _, text := range []string{"Server=db;Password='a;b", "a ://:x@", "Data Source = \"x", "-----BEGIN PRIVATE KEY-----\n", "${@Microsoft.KeyVault(", "{{", "<a", "eyJ.eyJ.", "\xff=\x00;", "id =;secret= ;key =",
		"sv=1\\u0026sig=abcdefghijklmnopqrstuvwxyz", "password==host=user=", "日本=語;pwd="} {
		f.Add("PASSWORD", text)
	}
	f.Fuzz(func(t *testing.T, name, text string) {
		s, found := secretscan.Find(name, text)
		u, _ := secretscan.FindURL(text)
		secretscan.Suspect(name, text)
		if found != (s.Kind != "") {
			t.Errorf("%+v, %v", s, found)
		}
		if again, _ := secretscan.Find(name, text); again != s {
			t.Errorf("%+v, then %+v", s, again)
		}
		for _, said := range []string{s.Kind, u.Scheme} {
			if strings.ContainsAny(said, "\n\x00") || !utf8.ValidString(said) || len(said) > 80 {
				t.Errorf("says %q", said)
			}
		}
	})
}

// What most pods hold: no secret, so every prefilter must say no.
func BenchmarkFind(b *testing.B) {
	texts := []string{"8080", "production", "http://otel-collector.monitoring.svc.cluster.local:4317", "postgres://shop:$(DB_PASSWORD)@db.shop.svc:5432/shop?sslmode=require",
		"-Xmx512m -XX:MaxRAMPercentage=75.0 -Djava.security.egd=file:/dev/./urandom", "InstrumentationKey=00000000-1111-2222-3333-444444444444;IngestionEndpoint=https://westeurope-1.in.applicationinsights.azure.com/",
		"Server=tcp:shop.database.windows.net,1433;Database=shop;Authentication=Active Directory Default;Encrypt=True", "/var/run/secrets/kubernetes.io/serviceaccount/token",
		"set -e\nuntil nc -z db 5432; do echo waiting; sleep 1; done\nexec java -jar /app.jar --server.port=8080 --spring.config.location=/config/"}
	b.ReportAllocs()
	for b.Loop() {
		for _, text := range texts {
			if _, found := secretscan.Find("NAME", text); found {
				b.Fatal(text)
			}
			secretscan.FindURL(text)
		}
	}
}
