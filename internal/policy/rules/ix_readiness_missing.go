package rules

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/policy"
)

// readiness-missing
//
//	restricted: containers[*].readinessProbe, and that of native sidecars
//	allowed:    set; no ports but for operators; pods that run to their end
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "readiness-missing", Factor: "IX", Levels: policy.Levels{Baseline: policy.Warn, Strict: policy.Deny}},
		Page: policy.Page{
			Title:   "A container serves a port and nobody asks whether it is ready",
			Why:     "Without a readiness probe a container is ready as soon as its process exists. Every rollout and every scale-up sends requests to a process that doesn't listen yet, and a rollout of a broken version goes on to the last replica. A startup or liveness probe does not help: it restarts, it doesn't take the pod out of the Service.",
			Fix:     "Add a readinessProbe that asks whether the app can serve a request now. Do not ask its backing services: if the database is down, no replica is ready and there is nobody left to say so.",
			Allowed: "Containers without ports, or with ports that no probe can ask (UDP, SCTP); ports that are only for operators, by their names (metrics, prometheus, http-metrics, http-monitoring, healthz, debug), or before which kube-rbac-proxy stands; containers that Knative's queue proxy probes; pods that run to their end (Jobs, restartPolicy Never or OnFailure); init containers.",
			Example: "ports:\n- {name: http, containerPort: 8080}\nreadinessProbe:\n  httpGet: {path: /ready, port: http}\n  periodSeconds: 5\n",
		},
		Check: checkReadinessMissing,
	})
}

func checkReadinessMissing(s *Subject, report func(Violation)) {
	if p := s.Pod.Spec.RestartPolicy; p == corev1.RestartPolicyNever || p == corev1.RestartPolicyOnFailure {
		return
	}
	for _, c := range s.Containers(Main, Sidecar) {
		i := slices.IndexFunc(c.Ports, isService)
		if c.ReadinessProbe != nil || i < 0 || s.askedByQueue(c) || isRBACProxy(c) {
			continue
		}
		port, probe := c.Ports[i], fmt.Sprintf("tcpSocket: {port: %d}", c.Ports[i].ContainerPort)
		if strings.HasPrefix(port.Name, "https") {
			probe = fmt.Sprintf("httpGet: {path: /<path>, port: %s, scheme: HTTPS}", port.Name)
		} else if strings.HasPrefix(port.Name, "http") {
			probe = fmt.Sprintf("httpGet: {path: /<path>, port: %s}", port.Name)
		}
		report(c.At(".readinessProbe", fmt.Sprintf("serves port %d without a readiness probe", port.ContainerPort), "add readinessProbe: {"+probe+"}"))
	}
}

// askedByQueue says whether Knative has moved the container's probe to the queue proxy beside it.
func (s *Subject) askedByQueue(c Container) bool {
	return slices.ContainsFunc(s.Pod.Spec.Containers, func(other corev1.Container) bool {
		return other.Name != c.Name && slices.ContainsFunc(other.Env, func(e corev1.EnvVar) bool { return e.Name == "SERVING_READINESS_PROBE" })
	})
}

// isRBACProxy says whether the container stands before metrics: its port is called https all the same.
func isRBACProxy(c Container) bool {
	ref, err := image.Parse(c.Image)
	return err == nil && ref.Base() == "kube-rbac-proxy"
}

var (
	// operational are words of port names for those who run the app, not for its clients.
	operational = []string{"metrics", "metric", "prometheus", "prom", "telemetry", "exporter", "jmx", "health", "healthz", "healthcheck",
		"liveness", "readiness", "livez", "readyz", "probe", "probes", "debug", "pprof", "profiling", "reloader", "monitoring"}
	// neutral are words that say how, not what for.
	neutral = []string{"http", "https", "http2", "tcp", "tls", "grpc", "web", "port", "server", "endpoint", "check"}
)

// isService says whether clients use a port, as far as its name tells: http-metrics and metrics-port are no service,
// metrics-api and a port without a name may be. Probes speak TCP only.
func isService(p corev1.ContainerPort) bool {
	if p.Protocol == corev1.ProtocolUDP || p.Protocol == corev1.ProtocolSCTP {
		return false
	}
	words := strings.Split(strings.ToLower(p.Name), "-")
	if slices.Contains(operational, words[len(words)-1]) {
		return false
	}
	found := false
	for _, w := range words {
		switch {
		case slices.Contains(operational, w):
			found = true
		case !slices.Contains(neutral, w):
			return true
		}
	}
	return !found
}
