package mutate

import "twelvefold.dev/internal/policy"

var metricsPage = policy.Page{
	Title: "Metrics are there for Prometheus: annotations, and an exporter where the app has none",
	Why: "Prometheus scrapes what is annotated. Twelvefold looks for an endpoint in each container, and takes the first of: (1) what " +
		"twelvefold.dev/metrics or twelvefold.dev/exporter names; (2) the pod's own prometheus.io annotations, which are never " +
		"changed, only completed; (3) an exporter, or a JMX agent, that is there already; (4) a port named metrics, http-metrics or " +
		"prometheus; (5) the image: redis, valkey, keydb, nginx, openresty, postgres, mysql, mariadb, memcached, httpd, php-fpm and " +
		"mongodb get an exporter as a native sidecar, rabbitmq is annotated; (6) a framework profile that the policy or the pod " +
		"switches on. A port is never guessed. The annotation twelvefold.dev/status says what was taken and what was not, and why.",
	Fix: "Name the app's port metrics, or write twelvefold.dev/metrics: PORT[/PATH], several with commas; without a path it is " +
		"/metrics. An exporter by name: twelvefold.dev/exporter: redis, or another that is built in (postgres, jmx, dotnet, statsd …) or that the policy adds under " +
		"metrics.exporters. A framework by name: twelvefold.dev/metrics-profile: spring-boot, quarkus, micronaut or opentelemetry.\n\n" +
		"Credentials: an exporter gets the password from the source of the app's variable (POSTGRES_PASSWORD, MYSQL_ROOT_PASSWORD, " +
		"REDIS_PASSWORD or what --requirepass takes …). It must have a valueFrom or be a Key Vault reference. A password that stands " +
		"in the pod as text, in a file or in envFrom isn't copied, and no exporter is added. One in the app's own configuration file " +
		"isn't seen: give it by a variable.\n\n" +
		"nginx must serve stub_status at /stub_status on the port that the container declares, httpd server-status at " +
		"/server-status, php-fpm its status at /status:\n\n" +
		"    location = /stub_status { stub_status; allow 127.0.0.1; allow ::1; deny all; }\n\n" +
		"jmx goes into the JVM that the container's command starts, else into JAVA_TOOL_OPTIONS if nothing shows a second JVM, which " +
		"would die of the taken port. The policy names the image that holds the agent's jar; twelvefold.dev/jmx-config is its " +
		"configuration. dotnet runs dotnet-monitor, statsd takes gunicorn's metrics.\n\n" +
		"A profile sets the framework's switches as variables where the pod doesn't; they replace the app's own files. It needs to know " +
		"the port: from the command, a variable, or the port declared as management, metrics or http.\n\n" +
		"No exporter is added with hostNetwork, on Windows and on virtual nodes, and none before Kubernetes 1.29, where a Job would " +
		"never end.",
	Allowed: "twelvefold.dev/metrics: none and prometheus.io/scrape: \"false\" opt out of all of it, twelvefold.dev/exporter: none " +
		"of exporters, twelvefold.dev/metrics-profile: none of profiles.",
	Example: `metadata:
  annotations:
    twelvefold.dev/metrics: 8081/actuator/prometheus
`,
}
