package rules

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/policy"
)

// localhost-service
//
//	restricted: URLs of backing services in env[*].value, command and args of all containers; variables that name one
//	allowed:    a container of the pod serves the port: a known proxy, the service itself, or one that declares it
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "localhost-service", Factor: "IV", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title: "A database or broker is looked for on localhost",
			Why: "In a pod localhost is the pod itself, and no database listens there: the app can't connect, or only by a default that was right on a laptop. " +
				"A backing service is attached by its address, so that it can be replaced without a build.",
			Fix:     "Give the address of the service. If it is a proxy that you reach on localhost, run it as a native sidecar of the pod and declare its port.",
			Allowed: "A proxy beside the app (Cloud SQL Auth Proxy, PgBouncer, ProxySQL, HAProxy, Envoy, stunnel and others); an exporter beside its database; a container that declares the port; variables for where the app itself listens (HOST, SERVER_HOST).",
			Example: "env:\n- name: REDIS_URL\n  value: redis://redis.shop.svc:6379/0\n",
		},
		Check: checkLocalhostService,
	})
}

// services are schemes of backing services, with their ports.
var services = map[string]int32{"postgres": 5432, "postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mongodb": 27017, "redis": 6379, "rediss": 6379, "valkey": 6379,
	"amqp": 5672, "amqps": 5671, "mssql": 1433, "sqlserver": 1433, "nats": 4222, "kafka": 9092, "memcached": 11211, "cassandra": 9042, "couchbase": 8091, "clickhouse": 9000,
	"neo4j": 7687, "bolt": 7687, "elasticsearch": 9200}

// servers are images that listen on localhost for the app: the proxies, and the services themselves, which
// database-in-app-pod speaks of.
var servers = regexp.MustCompile(`^(cloud-sql-proxy|cloudsql-docker|gce-proxy|alloydb-auth-proxy|pgbouncer|pgpool|pgcat|odyssey|proxysql|mysql-router|maxscale|twemproxy|nutcracker|` +
	`envoy|haproxy|nginx|traefik|socat|ambassador|stunnel|ghostunnel|cloudflared|tailscale|autossh|teleport|tbot|boundary|consul|dapr|mcrouter|mongos|` +
	`postgres|postgresql|postgis|timescaledb|mysql|mariadb|percona|mongo|mongodb|redis|redis-stack|valkey|keydb|dragonfly|rabbitmq|nats|kafka|memcached|cassandra|couchbase|clickhouse|neo4j|elasticsearch|opensearch|mssql)([-_].*)?$`)

// named are services by the words of variables' names, with their ports; 0 is any of a database.
var named = map[string]int32{"DB": 0, "DATABASE": 0, "POSTGRES": 5432, "POSTGRESQL": 5432, "PG": 5432, "MYSQL": 3306, "MARIADB": 3306, "MONGO": 27017, "MONGODB": 27017, "REDIS": 6379, "VALKEY": 6379,
	"RABBITMQ": 5672, "AMQP": 5672, "KAFKA": 9092, "MEMCACHED": 11211, "MEMCACHE": 11211, "CASSANDRA": 9042, "ELASTICSEARCH": 9200, "OPENSEARCH": 9200, "CLICKHOUSE": 9000}

// addressed end the name of a variable that holds where a service is.
var addressed = regexp.MustCompile(`^(?:\w+_)?([A-Z]+?)_?(?:HOST|HOSTS|HOSTNAME|SERVER|SERVERS|ADDR|ADDRESS|ENDPOINT|BROKER|BROKERS|BROKER_LIST|URL|URI|NODES)$`)

const local = `(localhost|\(local\)|127(?:\.\d{1,3}){3}|\[?::1\]?)`

// localServer are SQL Server's own names of this host, too.
const localServer = `(localhost|\(local\)|\(localdb\)|\.|127(?:\.\d{1,3}){3}|\[?::1\]?)(?:\\\w+)?`

var (
	localOnly = regexp.MustCompile(`(?i)^(?:[a-z+]+://)?` + local + `(?::(\d{1,5}))?(?:[/,].*)?$`)
	localURL  = regexp.MustCompile(`(?i)\b([a-z]+)(?:\+[a-z0-9]+)?://(?:[^\s/@"']*@)?` + local + `(?::(\d{1,5}))?(?:[/?,;\s"']|$)`)
	// ADO.NET's and libpq's way: the server is a field beside that of the database or the user.
	localField = regexp.MustCompile(`(?i)(?:^|[;\s"'])(server|data source|host)\s*=\s*(?:tcp:)?` + localServer + `(?:[,:](\d{1,5}))?(?:[;\s"']|$)`)
	dbField    = regexp.MustCompile(`(?i)(?:^|[;\s"'])(?:database|initial catalog|dbname|user id|uid|username)\s*=`)
	portField  = regexp.MustCompile(`(?i)(?:^|[;\s"'])port\s*=\s*(\d{1,5})`)
	exporter   = regexp.MustCompile(`exporter|metrics`)
)

func checkLocalhostService(s *Subject, report func(Violation)) {
	for t := range s.texts() {
		if t.place > inScript || !mayBeLocal(t.Value) {
			continue
		}
		seen, port, found := localService(t.Value)
		if !found && t.place == inEnv {
			seen, port, found = localByName(t.Name, t.Value)
		}
		if found && !serves(s.Pod, t.Container, port) {
			report(Violation{Path: t.Path, Container: t.Container, Message: seen + " points to localhost, where no container of this pod serves it",
				Fix: "give the service's address: " + address("<service>.<namespace>.svc", port)})
		}
	}
}

func address(host string, port int32) string {
	if port == 0 {
		return host
	}
	return fmt.Sprintf("%s:%d", host, port)
}

// localByName is for variables that name the service, and localhost as where it is: REDIS_HOST, KAFKA_BROKERS.
func localByName(name, value string) (seen string, port int32, found bool) {
	at := localOnly.FindStringSubmatch(value)
	if at == nil {
		return "", 0, false
	}
	usual, known := serviceByName(name)
	return "the variable", portOr(at[2], usual), known
}

// serviceByName is whether a variable by its name holds where a backing service is, and the service's usual port.
func serviceByName(name string) (port int32, known bool) {
	m := addressed.FindStringSubmatch(strings.Replace(strings.ToUpper(name), "BOOTSTRAP_", "", 1))
	if m == nil {
		return 0, false
	}
	port, known = named[m[1]]
	return port, known
}

// mayBeLocal is cheap, and false for nearly all texts.
func mayBeLocal(text string) bool {
	return strings.Contains(text, "127.") || strings.Contains(text, "::1") || strings.Contains(text, "=.") || strings.Contains(strings.ToLower(text), "local")
}

// localService is what a text looks for on localhost, and the port it would be on.
func localService(text string) (seen string, port int32, found bool) {
	if strings.Contains(text, "://") {
		for _, m := range localURL.FindAllStringSubmatch(text, -1) {
			scheme := strings.ToLower(m[1])
			if usual, known := services[scheme]; known {
				return scheme + " URL", portOr(m[3], usual), true
			}
		}
	}
	if !strings.Contains(text, "=") {
		return "", 0, false
	}
	m := localField.FindStringSubmatch(text)
	if m == nil || !dbField.MatchString(text) {
		return "", 0, false
	}
	port = 1433 // SQL Server
	if strings.EqualFold(m[1], "host") {
		port = 5432 // PostgreSQL: libpq, Npgsql
	}
	if field := portField.FindStringSubmatch(text); field != nil {
		port = portOr(field[1], port)
	}
	return "connection string", portOr(m[3], port), true
}

func portOr(text string, usual int32) int32 {
	if port, err := strconv.ParseUint(text, 10, 16); err == nil {
		return int32(port)
	}
	return usual
}

// serves says whether something in the pod listens on the port: all containers count, injected ones too.
func serves(pod *corev1.Pod, container string, port int32) bool {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			for _, p := range c.Ports {
				if p.ContainerPort == port {
					return true
				}
			}
			ref, err := image.Parse(c.Image)
			if err == nil && (servers.MatchString(ref.Base()) || databases.MatchString(ref.Base()) || c.Name == container && exporter.MatchString(ref.Base())) {
				return true
			}
		}
	}
	return false
}
