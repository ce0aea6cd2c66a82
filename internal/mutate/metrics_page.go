package mutate

import "twelvefold.dev/internal/policy"

var metricsPage = policy.Page{
	Title: "Metrics are there for Prometheus and others: annotations, and an exporter where the app has none",
	Why: "Prometheus scrapes what is annotated, and so do others, each by annotations of its own. Twelvefold writes those of the " +
		"consumers that the policy names in metrics.consumers, always whole. It looks for an endpoint in each container, and takes the first of: (1) what " +
		"twelvefold.dev/metrics or twelvefold.dev/exporter names; (2) the pod's own prometheus.io annotations, which are never " +
		"changed, only completed; (3) an exporter, or a JMX agent, that is there already; (4) a port named metrics, http-metrics or " +
		"prometheus; (5) the image: redis, valkey, keydb, nginx, openresty, postgres, mysql, mariadb, memcached, httpd, php-fpm and " +
		"mongodb get an exporter as a native sidecar, rabbitmq is annotated; (6) a framework profile that the policy or the pod " +
		"switches on. A port is never guessed. Of two endpoints or more, which prometheus.io/port can't hold, a native sidecar, " +
		"twelvefold-merge, serves one; the label twelvefold_source tells the container. The annotation twelvefold.dev/status says what was taken and " +
		"what was not, and why.",
	Fix: "Name the app's port metrics, or write twelvefold.dev/metrics: PORT[/PATH], several with commas; without a path it is " +
		"/metrics. An exporter by name: twelvefold.dev/exporter: redis, or another that is built in (postgres, jmx, dotnet, statsd …) or that the policy adds under " +
		"metrics.exporters. A framework by name: twelvefold.dev/metrics-profile: spring-boot, quarkus, micronaut or opentelemetry.\n\n" +
		"Credentials: an exporter gets the password from the source of the app's variable (POSTGRES_PASSWORD, MYSQL_ROOT_PASSWORD, " +
		"REDIS_PASSWORD or what --requirepass takes …). It must have a valueFrom, be a Key Vault reference, or a _FILE in a mounted Secret. A password that stands " +
		"in the pod as text, in a file that is no Secret's key, or in envFrom isn't copied, and no exporter is added. One in the app's own configuration file " +
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
		"never end; and nothing is merged there: the first endpoint is taken.\n\n" +
		"Consumers: prometheus (the default), azure and container-insights read prometheus.io/scrape, port, path and scheme (azure no scheme: it " +
		"scrapes over http); grafana k8s.grafana.com/scrape, metrics.portNumber, metrics.path and metrics.scheme; datadog " +
		"ad.datadoghq.com/CONTAINER.checks; opentelemetry io.opentelemetry.discovery.metrics.PORT/enabled, scraper and config. Datadog and " +
		"OpenTelemetry get every endpoint as it is, but OpenTelemetry's Collector sees only ports that main containers declare. " +
		"Annotations of a consumer's that the pod has of its own are not changed, and nothing is merged for a port of its own. Of what its " +
		"consumer would drop there is a warning when the pod or its workload is applied: a port that is no number or that no container " +
		"declares, an URL or a path without a slash, a scrape that is neither true nor false or lacks the port, JSON that doesn't parse, " +
		"two consumers that are told different things.\n\n" +
		"Meshes: istio's proxy takes the prometheus.io annotations to itself when it is injected and serves them on 15020, which is left " +
		"so. Where the pod's or the namespace's revision (istio.io/rev: asm-1-31) or the proxy's image tells that it is 1.31 or newer, " +
		"istio merges several endpoints itself, by prometheus.istio.io/scrape-targets; prometheus.istio.io/merge-metrics: \"false\" keeps it " +
		"from that. Ports of istio, linkerd and Dapr (9090, or dapr.io/metrics-port) are neither scraped nor taken.\n\n" +
		"A pod that a PodMonitor or ServiceMonitor scrapes already gets no annotations for prometheus, azure and grafana, which would have " +
		"it scraped twice; where no other consumer is named, it gets no exporter and no profile but those that its annotations name. A monitor counts if it looks into the pod's namespace, selects the pod or a Service that " +
		"leads to it, and has an endpoint for one of the pod's ports; one that keeps pods by prometheus.io annotations, or only a mesh's " +
		"proxy, doesn't. Of prometheus.io annotations that the pod has of its own there is a warning.",
	Allowed: "twelvefold.dev/metrics: none and prometheus.io/scrape: \"false\" opt out of all of it, twelvefold.dev/exporter: none " +
		"of exporters, twelvefold.dev/metrics-profile: none of profiles.",
	Example: `metadata:
  annotations:
    twelvefold.dev/metrics: 8081/actuator/prometheus
`,
}
