package mutate

import "twelvefold.dev/internal/policy"

var metricsPage = policy.Page{
	Title: "Metrics are there for Prometheus: annotations, and an exporter where the app has none",
	Why: "Prometheus scrapes what is annotated. Twelvefold writes prometheus.io/scrape, port and path, always together, for the " +
		"first endpoint that it finds: (1) what twelvefold.dev/metrics or twelvefold.dev/exporter names; (2) the pod's own " +
		"prometheus.io annotations, which are never changed, only completed; (3) an exporter that is there already; (4) a port " +
		"named metrics, http-metrics or prometheus; (5) the image: redis, valkey and nginx get an exporter as a native sidecar. " +
		"A port is never guessed. prometheus.io/port holds one endpoint: of several the first is taken, and this version merges " +
		"none. The annotation twelvefold.dev/status says what was taken and what was not, and why.",
	Fix: "Name the app's port metrics, or write twelvefold.dev/metrics: PORT[/PATH]; without a path it is /metrics. An " +
		"exporter by name: twelvefold.dev/exporter: redis, nginx, or one that the policy adds under metrics.exporters.\n\n" +
		"redis: the exporter gets the password from the source of the app's variable: the one that --requirepass takes, else " +
		"REDIS_PASSWORD. It must have a valueFrom or be a Key Vault reference. A password that stands in the pod as text, in a file " +
		"or in envFrom isn't copied, and no exporter is added. One in a redis.conf isn't seen: give it by a variable.\n\n" +
		"nginx: its configuration must serve stub_status at /stub_status on the port that the container declares:\n\n" +
		"    location = /stub_status { stub_status; allow 127.0.0.1; allow ::1; deny all; }\n\n" +
		"No exporter is added with hostNetwork, on Windows and on virtual nodes.\n\n" +
		"A pod that a PodMonitor or ServiceMonitor scrapes already gets no annotations, which would have it scraped twice, and no exporter " +
		"but the one that twelvefold.dev/exporter names. A monitor counts if it looks into the pod's namespace, selects the pod or a Service that " +
		"leads to it, and has an endpoint for one of the pod's ports; one that keeps pods by prometheus.io annotations, or only a mesh's " +
		"proxy, doesn't. Of prometheus.io annotations that the pod has of its own there is a warning.",
	Allowed: "twelvefold.dev/metrics: none and prometheus.io/scrape: \"false\" opt out of all of it, twelvefold.dev/exporter: none " +
		"of exporters.",
	Example: `metadata:
  annotations:
    twelvefold.dev/metrics: 8081/actuator/prometheus
`,
}
