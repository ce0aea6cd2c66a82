package rules

import (
	"regexp"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/policy"
)

// database-in-app-pod
//
//	restricted: containers[*].image of databases and brokers, and that of native sidecars
//	allowed:    a pod of its own, with what helps it; StatefulSets that begin with the database; Jobs and other pods that end
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "database-in-app-pod", Factor: "IV", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title:   "A database or broker runs in the app's pod",
			Why:     "A backing service is attached by its address and can be replaced without the app. In the app's pod it is as old as the pod: each release empties it, each replica has another one, and to scale the app is to scale the database.",
			Fix:     "Use a managed service (Azure Database, Azure Cache, Service Bus), or a StatefulSet of its own with a Service, and give the app its address.",
			Allowed: "A database's own pod with its helpers (exporters, backups, poolers, agents, config reloaders). A container of its image that only asks (pg_dump, redis-cli). Jobs and pods that end: tests bring their database along.",
			Example: "env:\n- name: REDIS_URL\n  value: rediss://shop.redis.cache.windows.net:6380\n",
		},
		Check: checkDatabaseInAppPod,
	})
}

var (
	// databases are images, by the last segment of their names.
	databases = regexp.MustCompile(`^(postgres|postgresql|postgresql-repmgr|postgis|pgvector|timescaledb|spilo|mysql|mysql-server|mariadb|mariadb-galera|percona|percona-server|mongo|mongodb|mongodb-sharded|` +
		`redis|redis-cluster|redis-stack|redis-stack-server|valkey|valkey-cluster|keydb|dragonfly|memcached|rabbitmq|nats|nats-server|kafka|cp-kafka|redpanda|zookeeper|activemq|activemq-classic|activemq-artemis|` +
		`cassandra|scylla|scylladb|couchdb|couchbase|clickhouse|clickhouse-server|neo4j|arangodb|ravendb|eventstore|elasticsearch|opensearch|solr|influxdb|questdb|cockroach|mssql|server|` +
		`qdrant|chroma|milvus|weaviate|minio|azurite|etcd)$`)
	// helpers are words in the names of containers and images that stand beside a database for its sake, or beside
	// anything: they are no apps.
	helpers = regexp.MustCompile(`(^|[-_.])(exporter|metrics|monitor|agent|backup|restore|reload|reloader|proxy|sidecar|pooler|pgbouncer|pgpool|pgcat|odyssey|patroni|sentinel|split|haproxy|envoy|stunnel|` +
		`operator|manager|config|init|tls|xtrabackup|barman|fluent|fluentbit|fluentd|filebeat|metricbeat|vector|logs|logger|otel|telegraf|kube|rbac|shell|tools|pause)([-_.]|$)`)
)

func checkDatabaseInAppPod(s *Subject, report func(Violation)) {
	if s.IsJob() || s.Pod.Spec.RestartPolicy == corev1.RestartPolicyNever || s.Pod.Spec.RestartPolicy == corev1.RestartPolicyOnFailure {
		return
	}
	containers := s.Containers(Main, Sidecar)
	app := ""
	for _, c := range containers {
		if c.Kind == Main && !isDatabase(c) && !isHelper(c) {
			app = c.Name
			break
		}
	}
	if main := s.Containers(Main); app == "" || s.Workload.Kind == "StatefulSet" && isDatabase(main[0]) {
		return
	}
	for _, c := range containers {
		if isDatabase(c) && !isHelper(c) && !c.isClient() {
			report(c.At(".image", "runs in one pod with "+app, "give it a StatefulSet of its own, or use a managed service, and give "+app+" its address"))
		}
	}
}

// clients are the programs that databases' images bring along to ask another one; others, whatever the image is called, serve.
var clients = regexp.MustCompile(`^(psql|pg_dump|pg_dumpall|pg_isready|pg_restore|pg_basebackup|pgbench|mysql|mysqldump|mysqladmin|mariadb|mariadb-dump|mariadb-admin|redis-cli|valkey-cli|redis-benchmark|` +
	`mongo|mongosh|mongodump|mongoexport|kafka-(console|topics|configs|consumer|producer|acls|verifiable)[a-z-]*|cqlsh|clickhouse-client|etcdctl|rabbitmqadmin|sqlcmd)(\.sh)?$`)

// isClient says whether a container was told to run a client, and nothing but what scripts are made of beside it.
func (c Container) isClient() bool {
	asks := false
	for _, command := range c.Commands() {
		switch name := command.Name(); {
		case clients.MatchString(name):
			asks = true
		case !command.Ends():
			return false
		}
	}
	return asks
}

// isDatabase says whether a container runs a database or broker.
func isDatabase(c Container) bool {
	ref, err := image.Parse(c.Image)
	if err != nil || !databases.MatchString(ref.Base()) {
		return false
	}
	return ref.Base() != "server" || mssql.MatchString(c.Image) // mcr.microsoft.com/mssql/server
}

var mssql = regexp.MustCompile(`(^|/)mssql(-server)?/server`)

func isHelper(c Container) bool {
	ref, err := image.Parse(c.Image)
	return helpers.MatchString(c.Name) || err == nil && helpers.MatchString(ref.Base())
}
