package secretscan

import (
	"regexp"
	"strings"
)

// URL is a URL with a password in it.
type URL struct {
	Scheme  string // one of those that are known, in lower case; else empty, since any text may stand before ://
	Whole   bool   // the text is the URL and nothing else
	Encoded bool   // in base64
}

var (
	// A password may hold what a URL should have escaped, so it ends at the @ only.
	userInfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]{0,40})://([^\s"'` + "`" + `@/:?#,;\[]*):([^\s"'` + "`" + `@]+)@`)
	// What stands there for a host with a port and an @ somewhere behind: http://host:8080/a@b.
	port = regexp.MustCompile(`^\d{1,5}[/?#,;|)\]}&\\]`)
)

var schemes = map[string]bool{"postgres": true, "postgresql": true, "mysql": true, "mariadb": true, "mssql": true, "sqlserver": true, "oracle": true,
	"mongodb": true, "redis": true, "rediss": true, "valkey": true, "memcached": true, "cassandra": true, "couchbase": true, "clickhouse": true,
	"neo4j": true, "bolt": true, "elasticsearch": true, "cockroachdb": true, "amqp": true, "amqps": true, "nats": true, "kafka": true, "mqtt": true, "mqtts": true,
	"http": true, "https": true, "ftp": true, "ftps": true, "sftp": true, "ssh": true, "smtp": true, "smtps": true, "imap": true, "imaps": true,
	"ldap": true, "ldaps": true, "git": true, "ws": true, "wss": true, "tcp": true, "socks5": true}

// FindURL looks for a URL with a password that is written out.
func FindURL(text string) (URL, bool) {
	text = cut(text)
	if u, ok := findURL(text); ok {
		return u, true
	}
	for _, decoded := range decode(text) {
		if u, ok := findURL(decoded); ok {
			u.Encoded = true
			return u, true
		}
	}
	return URL{}, false
}

func findURL(text string) (URL, bool) {
	if !strings.Contains(text, "://") || !strings.Contains(text, "@") {
		return URL{}, false
	}
	text = mask(text)
	for _, m := range userInfo.FindAllStringSubmatchIndex(text, -1) {
		password := text[m[6]:m[7]]
		if !literal(password) || port.MatchString(password) {
			continue
		}
		scheme, _, _ := strings.Cut(strings.ToLower(text[m[2]:m[3]]), "+") // postgresql+psycopg2, mongodb+srv
		if !schemes[scheme] {
			scheme = ""
		}
		return URL{Scheme: scheme, Whole: (m[0] == 0 || text[:m[0]] == "jdbc:") && !strings.ContainsAny(strings.TrimSpace(text), " \t\n\"'")}, true
	}
	return URL{}, false
}
