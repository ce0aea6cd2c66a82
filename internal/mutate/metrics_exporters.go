package mutate

import (
	"cmp"
	"slices"
	"strings"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/policy"
)

// The exporters that need more than a sidecar, by name.
const (
	jmxExporter    = "jmx"
	dotnetExporter = "dotnet"
	statsdExporter = "statsd"
)

const listenAddress = "--web.listen-address=$(ADDRESS)"

// builtInExporters are ready for use. A policy may change or replace each of them by name. Flags, variables and users are
// from the exporters' own READMEs and Dockerfiles.
var builtInExporters = []policy.Exporter{
	{
		Name:        "redis",
		Match:       []string{"redis", "valkey", "keydb", "redis-stack", "redis-stack-server", "redis-cluster"},
		Programs:    []string{"redis-server", "valkey-server", "keydb-server"},
		Image:       "docker.io/oliver006/redis_exporter:v1.88.0",
		Port:        9121,
		PortFlag:    listenAddress,
		AppPort:     6379,
		Env:         map[string]string{"REDIS_ADDR": "redis://localhost:$(APP_PORT)"},
		Credentials: map[string]policy.Names{"REDIS_PASSWORD": {"REDIS_PASSWORD", "VALKEY_PASSWORD", "KEYDB_PASSWORD"}},
		User:        59000,
	},
	{
		Name:     "nginx",
		Match:    []string{"nginx", "nginx-unprivileged", "openresty"},
		Image:    "docker.io/nginx/nginx-prometheus-exporter:1.5.3",
		Port:     9113,
		PortFlag: listenAddress,
		Args:     []string{"--nginx.scrape-uri=http://localhost:$(APP_PORT)/stub_status"},
		User:     1001,
	},
	{
		Name:     "postgres",
		Match:    []string{"postgres", "postgresql", "postgis", "timescaledb", "timescaledb-ha", "postgresql-repmgr"},
		Programs: []string{"postgres"},
		Image:    "quay.io/prometheuscommunity/postgres-exporter:v0.18.1",
		Port:     9187,
		PortFlag: listenAddress,
		AppPort:  5432,
		Env:      map[string]string{"DATA_SOURCE_URI": "localhost:$(APP_PORT)/$(POSTGRES_DB)?sslmode=disable"},
		Values: map[string]policy.Value{
			"DATA_SOURCE_USER": {From: policy.Names{"POSTGRES_USER", "POSTGRESQL_USERNAME"}, Default: "postgres"},
			"POSTGRES_DB":      {From: policy.Names{"POSTGRES_DB", "POSTGRESQL_DATABASE"}, Default: "postgres"},
		},
		Credentials:  map[string]policy.Names{"DATA_SOURCE_PASS": {"POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD"}},
		Passwordless: []string{"POSTGRES_HOST_AUTH_METHOD", "ALLOW_EMPTY_PASSWORD"},
	},
	{
		Name:     "mysql",
		Match:    []string{"mysql", "mysql-server", "mariadb", "mariadb-galera", "percona", "percona-server", "percona-xtradb-cluster"},
		Programs: []string{"mysqld", "mysqld_safe", "mariadbd"},
		Image:    "quay.io/prometheus/mysqld-exporter:v0.18.0",
		Port:     9104,
		PortFlag: listenAddress,
		AppPort:  3306,
		Args:     []string{"--mysqld.address=127.0.0.1:$(APP_PORT)", "--mysqld.username=$(MYSQL_ROOT_USER)"},
		Values: map[string]policy.Value{
			"MYSQL_ROOT_USER": {From: policy.Names{"MYSQL_ROOT_USER", "MARIADB_ROOT_USER"}, Default: "root"},
		},
		Credentials:  map[string]policy.Names{"MYSQLD_EXPORTER_PASSWORD": {"MYSQL_ROOT_PASSWORD", "MARIADB_ROOT_PASSWORD"}},
		Passwordless: []string{"MYSQL_ALLOW_EMPTY_PASSWORD", "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD", "ALLOW_EMPTY_PASSWORD"},
	},
	{
		Name:     "memcached",
		Match:    []string{"memcached"},
		Image:    "quay.io/prometheus/memcached-exporter:v0.15.3",
		Port:     9150,
		PortFlag: listenAddress,
		AppPort:  11211,
		Args:     []string{"--memcached.address=localhost:$(APP_PORT)"},
	},
	{
		Name:     "apache",
		Match:    []string{"httpd", "apache"},
		Programs: []string{"httpd", "httpd-foreground", "apache2", "apache2-foreground", "apachectl", "apache2ctl"},
		Image:    "docker.io/lusotycoon/apache-exporter:v1.0.10",
		Port:     9117,
		PortFlag: listenAddress,
		Args:     []string{"--scrape_uri=http://localhost:$(APP_PORT)/server-status?auto"},
	},
	{
		Name:     "php-fpm",
		Match:    []string{"php:fpm", "php-fpm"},
		Programs: []string{"php-fpm"},
		Image:    "docker.io/hipages/php-fpm_exporter:2.2.0",
		Port:     9253,
		AppPort:  9000,
		Env: map[string]string{ // no flags: they would have to stand behind a command that some of its images have in their entrypoint
			"PHP_FPM_SCRAPE_URI":         "tcp://127.0.0.1:$(APP_PORT)/status",
			"PHP_FPM_WEB_LISTEN_ADDRESS": "$(ADDRESS)",
		},
	},
	{
		Name:     "mongodb",
		Match:    []string{"mongo", "mongodb", "mongodb-community-server", "percona-server-mongodb"},
		Programs: []string{"mongod", "mongos"},
		Image:    "docker.io/percona/mongodb_exporter:0.47.1",
		Port:     9216,
		PortFlag: listenAddress,
		AppPort:  27017,
		Args:     []string{"--collector.diagnosticdata", "--collector.dbstats"},
		Env:      map[string]string{"MONGODB_URI": "mongodb://localhost:$(APP_PORT)"},
		Values: map[string]policy.Value{
			"MONGODB_USER": {From: policy.Names{"MONGO_INITDB_ROOT_USERNAME", "MONGODB_ROOT_USER"}, Default: "root"},
		},
		Credentials: map[string]policy.Names{"MONGODB_PASSWORD": {"MONGO_INITDB_ROOT_PASSWORD", "MONGODB_ROOT_PASSWORD"}},
	},
	{
		Name:     statsdExporter,
		Image:    "quay.io/prometheus/statsd-exporter:v0.28.0",
		Port:     9102,
		PortFlag: listenAddress,
		AppPort:  9125, // where it listens for the app, not the app for it
		Args:     []string{"--statsd.listen-udp=127.0.0.1:$(APP_PORT)", "--statsd.listen-tcp="},
	},
	{
		Name:  dotnetExporter,
		Image: "mcr.microsoft.com/dotnet/monitor:9.0.0",
		Port:  52325,
		Args:  []string{"collect", "--urls", "http://127.0.0.1:52323", "--metricUrls", "http://+$(ADDRESS)"},
		Env: map[string]string{
			"DOTNETMONITOR_DiagnosticPort__ConnectionMode": "Listen",
			"DOTNETMONITOR_DiagnosticPort__EndpointName":   diagnosticSocket,
			"DOTNET_EnableDiagnostics":                     "0", // of the monitor itself: its socket would need a writable root
		},
		User: 1654,
	},
	{
		Name: jmxExporter, // no image: nobody publishes one of which the agent's jar can be taken
		Port: 9404,
		Jar:  "/jmx_prometheus_javaagent.jar",
	},
}

// builtInPorts are the endpoints of servers that serve them by themselves.
var builtInPorts = []struct {
	server   policy.Exporter
	official string // the image that is known to serve it; of others the declared port tells
}{
	{policy.Exporter{Match: []string{"rabbitmq"}, Programs: []string{"rabbitmq-server"}, Port: 15692}, "library/rabbitmq"},
}

// exporterKinds are the exporters that people run themselves: the exporter's name here, and its port, by the last segment
// of their images with _ as -.
var exporterKinds = map[string]struct {
	name string
	port int32
}{
	"redis-exporter": {"redis", 9121}, "nginx-prometheus-exporter": {"nginx", 9113}, "nginx-exporter": {"nginx", 9113},
	"postgres-exporter": {"postgres", 9187}, "mysqld-exporter": {"mysql", 9104}, "memcached-exporter": {"memcached", 9150},
	"apache-exporter": {"apache", 9117}, "php-fpm-exporter": {"php-fpm", 9253}, "mongodb-exporter": {"mongodb", 9216},
	"statsd-exporter": {statsdExporter, 9102},
}

// exporters are the built-in ones with the policy's changes, and then the policy's own.
func exporters(m *policy.Metrics) []policy.Exporter {
	all := slices.Clone(builtInExporters)
	for i := range all {
		all[i].Image = mirrored(all[i].Image, m.Registry)
	}
	for _, e := range m.Exporters {
		i := slices.IndexFunc(all, func(known policy.Exporter) bool { return known.Name == e.Name })
		if i < 0 {
			all = append(all, e)
			continue
		}
		all[i] = over(e, all[i])
	}
	for i := range all {
		all[i].User = cmp.Or(all[i].User, 65534)
	}
	return all
}

// over is an exporter with another's fields where it has none.
func over(e, base policy.Exporter) policy.Exporter {
	base.Image = cmp.Or(e.Image, base.Image)
	base.Port = cmp.Or(e.Port, base.Port)
	base.PortFlag = cmp.Or(e.PortFlag, base.PortFlag)
	base.AppPort = cmp.Or(e.AppPort, base.AppPort)
	base.User = cmp.Or(e.User, base.User)
	base.Jar = cmp.Or(e.Jar, base.Jar)
	if e.Match != nil {
		base.Match = e.Match
	}
	if e.Programs != nil {
		base.Programs = e.Programs
	}
	if e.Args != nil {
		base.Args = e.Args
	}
	if e.Env != nil {
		base.Env = e.Env
	}
	if e.Credentials != nil {
		base.Credentials = e.Credentials
	}
	if e.Values != nil {
		base.Values = e.Values
	}
	if e.Passwordless != nil {
		base.Passwordless = e.Passwordless
	}
	return base
}

// mirrored is an image's name in a mirror: the same path below another registry.
func mirrored(name, registry string) string {
	ref, err := image.Parse(name)
	if registry == "" || err != nil {
		return name
	}
	name = strings.TrimSuffix(registry, "/") + "/" + ref.Repository
	if ref.Tag != "" {
		name += ":" + ref.Tag
	}
	if ref.Digest != "" {
		name += "@" + ref.Digest
	}
	return name
}

// imageBase is the last segment of an image's name; empty if it can't be read.
func imageBase(name string) string {
	ref, err := image.Parse(name)
	if err != nil {
		return ""
	}
	return ref.Base()
}

// imageIs says whether one of the patterns describes an image.
func imageIs(name string, patterns ...string) bool {
	ref, err := image.Parse(name)
	return err == nil && described(ref, patterns)
}

func described(ref image.Reference, patterns []string) bool {
	base := ref.Base()
	return slices.ContainsFunc(patterns, func(text string) bool {
		if !strings.Contains(text, base) { // most of them, and quickly
			return false
		}
		pattern, err := image.ParsePattern(text)
		return err == nil && ref.Matches(pattern)
	})
}

// exporterFor is the exporter for an app's image, or nil.
func exporterFor(all []policy.Exporter, appImage string) *policy.Exporter {
	ref, err := image.Parse(appImage)
	if err != nil {
		return nil
	}
	for i := range all {
		if described(ref, all[i].Match) {
			return &all[i]
		}
	}
	return nil
}

// exporterKind is the name and the default port of the exporter that an image is; an empty name for other images.
func exporterKind(all []policy.Exporter, name string) (kindName string, port int32) {
	ref, err := image.Parse(name)
	if err != nil {
		return "", 0
	}
	base := ref.Base()
	for _, e := range all {
		if e.Jar != "" || !strings.Contains(e.Image, base) {
			continue
		}
		own, err := image.Parse(e.Image)
		if err == nil && own.Base() == base && (own.Repository == ref.Repository || strings.Contains(base, "exporter")) {
			return e.Name, e.Port
		}
	}
	kind := exporterKinds[strings.ReplaceAll(base, "_", "-")]
	return kind.name, kind.port
}

func exporterNames(all []policy.Exporter) string {
	var names []string
	for _, e := range all {
		names = append(names, e.Name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
