package secretscan

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// connectionString finds keys and passwords in strings of key=value pairs, as Azure, ADO.NET, JDBC and libpq have them. A
// key tells nothing by itself: Password beside Server is a connection string, in a sentence it is a word.
func connectionString(text string) (Secret, bool) {
	if m := oracleThin.FindStringSubmatch(text); m != nil && literal(m[1]) {
		return Secret{Kind: "JDBC URL with a password"}, true
	}
	if !strings.Contains(text, "=") {
		return Secret{}, false
	}
	p := pairsOf(text)
	published := p.published()
	secret := func(kind string) (Secret, bool) { return Secret{Kind: kind, Published: published}, true }
	switch {
	case p.literal("accountkey") && p.has("accountendpoint"):
		if published {
			return secret(emulatorKind)
		}
		return secret("Azure Cosmos DB key")
	case p.literal("accountkey"):
		if published {
			return secret(emulatorKind)
		}
		return secret("Azure storage account key")
	case p.literal("sharedaccesskey"):
		if published {
			return secret("key of the Service Bus or Event Hubs emulator")
		}
		return secret("Azure shared access key")
	case p.key("sig") && p.has("sv", "se"):
		return Secret{Kind: "Azure SAS signature"}, true
	case p.key("accesskey") && p.has("endpoint"):
		return Secret{Kind: "Azure access key (SignalR, Web PubSub or Communication Services)"}, true
	case p.key("secret") && p.has("id") && (p.has("endpoint") || p.after("secret") == ';'):
		return Secret{Kind: "Azure App Configuration secret"}, true
	}
	if !p.literal("password", "pwd") {
		return Secret{}, false
	}
	switch {
	case strings.Contains(text, "LoginModule ") && p.has("username"):
		return Secret{Kind: "JAAS configuration with a password"}, true
	case p.has("server", "datasource", "address", "addr", "networkaddress") || strings.Contains(text, "jdbc:sqlserver:"):
		return Secret{Kind: "SQL connection string with a password"}, true
	case p.after("password") == ',':
		return Secret{Kind: "Redis connection string with a password"}, true
	case strings.Contains(text, "jdbc:"):
		return Secret{Kind: "JDBC URL with a password"}, true
	case p.has("host") && p.has("user", "username", "userid", "dbname", "database"):
		return Secret{Kind: "database connection string with a password"}, true
	}
	return Secret{}, false
}

// oracleThin is Oracle's own way to write user and password: jdbc:oracle:thin:user/password@host:1521/service.
var oracleThin = regexp.MustCompile(`jdbc:oracle:thin:[^\s/:@"']+/([^\s@/"']+)@`)

// pairKeys are the keys that matter, without blanks and in lower case.
var pairKeys = map[string]bool{"accountkey": true, "accountendpoint": true, "sharedaccesskey": true, "sig": true, "sv": true, "se": true,
	"accesskey": true, "endpoint": true, "secret": true, "id": true, "password": true, "pwd": true, "server": true, "datasource": true,
	"address": true, "addr": true, "networkaddress": true, "host": true, "user": true, "username": true, "userid": true, "dbname": true,
	"database": true, "usedevelopmentemulator": true}

type pair struct {
	key, value string
	before     byte // what stands before the key
}

type pairs []pair

func pairsOf(text string) (found pairs) {
	quotes := map[byte]int{} // so far
	for i := 0; i < len(text); i++ {
		if text[i] == '"' || text[i] == '\'' {
			quotes[text[i]]++
		}
		if text[i] != '=' {
			continue
		}
		left := strings.TrimRight(text[:i], " \t")
		start := wordStart(left)
		key := strings.ToLower(left[start:])
		// Data Source, User Id: two words
		if blank := strings.TrimRight(left[:start], " \t"); len(blank) < start && (key == "source" || key == "id" || key == "key") {
			if first := wordStart(blank); pairKeys[strings.ToLower(blank[first:])+key] {
				start, key = first, strings.ToLower(blank[first:])+key
			}
		}
		if !pairKeys[key] {
			continue
		}
		p := pair{key: key, value: valueAfter(text, i, quotes)}
		if before := strings.TrimRight(left[:start], " \t"); before != "" {
			p.before = before[len(before)-1]
		}
		found = append(found, p)
	}
	return found
}

// wordStart is where the last word of the text begins. A dot or an underscore belongs to the word: DB_PASSWORD is no
// password key.
func wordStart(text string) int {
	i := len(text)
	for i > 0 && len(text)-i < 32 && (inBase64(rune(text[i-1])) || text[i-1] == '.') && !strings.ContainsRune("+/-", rune(text[i-1])) {
		i--
	}
	return i
}

// valueAfter is the value behind the = at i, as far as it tells whether there is one. quotes are those before it: an odd
// one is still open, and the next closes it.
func valueAfter(text string, i int, quotes map[byte]int) string {
	value := text[i+1:]
	if i > 0 && text[i-1] == ' ' {
		value = strings.TrimLeft(value, " \t")
	}
	if value == "" {
		return ""
	}
	if quote := value[0]; (quote == '"' || quote == '\'') && quotes[quote]%2 == 0 {
		inner, _, _ := strings.Cut(value[1:], value[:1])
		return strings.TrimSpace(inner)
	}
	if end := strings.IndexAny(value, ";&,\"'` \t\r\n"); end >= 0 {
		value = value[:end]
	}
	return strings.TrimSuffix(value, `\`) // of an escaped quote
}

func (p pairs) has(keys ...string) bool {
	for _, one := range p {
		for _, key := range keys {
			if one.key == key {
				return true
			}
		}
	}
	return false
}

func (p pairs) literal(keys ...string) bool {
	for _, one := range p {
		for _, key := range keys {
			if one.key == key && literal(one.value) {
				return true
			}
		}
	}
	return false
}

// key says whether the value of the key is as long as Azure's keys are: other programs have fields of the same name.
func (p pairs) key(name string) bool {
	for _, one := range p {
		if one.key == name && len(one.value) >= minKey && literal(one.value) {
			return true
		}
	}
	return false
}

const minKey = 20 // the shortest are of 32 bytes in base64; some are cut in examples

// after is the character before the literal value's key.
func (p pairs) after(key string) byte {
	for _, one := range p {
		if one.key == key && literal(one.value) {
			return one.before
		}
	}
	return 0
}

const emulatorKind = "documented key of the Azure storage or Cosmos DB emulator"

// Hashes of the keys that Microsoft's documentation of Azurite and of the Cosmos DB emulator prints, so that no scanner
// takes this file for a leak.
var emulatorKeys = map[string]bool{
	"0011cc25eb4320717494d2703e8cba85743e71b500283c21c8b88147992f9059": true,
	"aa6547439583c3a275d4542a0df6c1ad6a863971be9f2a2220f027cc02aef615": true,
}

func emulatorKey(value string) bool {
	sum := sha256.Sum256([]byte(value))
	return emulatorKeys[hex.EncodeToString(sum[:])]
}

// published says whether all keys of the string are those of emulators.
func (p pairs) published() bool {
	emulator := false
	for _, one := range p {
		emulator = emulator || one.key == "usedevelopmentemulator" && strings.EqualFold(one.value, "true")
	}
	for _, one := range p {
		switch {
		case one.key == "accountkey" && literal(one.value) && !emulatorKey(one.value),
			one.key == "sharedaccesskey" && literal(one.value) && !emulator:
			return false
		}
	}
	return true
}
