package rules

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"twelvefold.dev/internal/policy"
)

// sticky-session
//
//	restricted: sessionAffinity of Services that select the pod; annotations of these, and of Ingresses in front of them
//	allowed:    Services that select others
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "sticky-session", Factor: "VI", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title:   "Clients are pinned to a pod",
			Why:     "Processes are stateless: any of them can answer any request. Sticky sessions hide that one can't. When its pod ends, by a release, a drain or a scale-down, its users are logged out and their carts are empty; load is uneven, and new replicas help new users only.",
			Fix:     "Keep sessions in a backing service with an expiry (Redis), or in a signed cookie, and remove the affinity. Data Protection keys of ASP.NET Core and the like must then be shared, too.",
			Allowed: "WebSockets need no affinity: a connection stays where it is. " + besides,
			Example: "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec:\n  sessionAffinity: None\n  selector: {app.kubernetes.io/name: shop}\n  ports: [{port: 80, targetPort: http}]\n",
		},
		Check: checkStickySession,
	})
}

// affinityAnnotations are those of controllers, with the values by which they pin clients.
var affinityAnnotations = map[string]string{
	"nginx.ingress.kubernetes.io/affinity":                "cookie",
	"nginx.org/sticky-cookie-services":                    "serviceName=",
	"appgw.ingress.kubernetes.io/cookie-based-affinity":   "true",
	"traefik.ingress.kubernetes.io/service.sticky.cookie": "true",
	"haproxy-ingress.github.io/affinity":                  "cookie",
	"alb.ingress.kubernetes.io/target-group-attributes":   "stickiness.enabled=true",
}

func checkStickySession(s *Subject, report func(Violation)) {
	if s.IsJob() { // nobody waits for an answer of it
		return
	}
	services, _ := s.services() // of those that are known it is true
	var names []string
	for _, service := range services {
		names = append(names, service.Name)
		by := affinityOf(service.Annotations)
		if service.Spec.SessionAffinity == corev1.ServiceAffinityClientIP {
			by = "sessionAffinity: ClientIP"
		}
		if by != "" {
			report(pinned("Service", service.Name, by))
		}
	}
	ingresses, _ := objects[networkingv1.Ingress](s, "Ingress")
	for _, ingress := range ingresses {
		by := affinityOf(ingress.Annotations)
		if by != "" && slices.ContainsFunc(backends(ingress), func(name string) bool { return slices.Contains(names, name) }) {
			report(pinned("Ingress", ingress.Name, by))
		}
	}
}

func pinned(kind, name, by string) Violation {
	return Violation{Path: "metadata.labels", Message: "the " + kind + " " + name + " pins clients to one of the pods by " + by,
		Fix: "keep sessions in a backing service, and remove it"}
}

// affinityOf is the annotation that pins clients, or empty.
func affinityOf(annotations map[string]string) string {
	for _, key := range slices.Sorted(maps.Keys(affinityAnnotations)) {
		if value := annotations[key]; strings.Contains(strings.ToLower(value), strings.ToLower(affinityAnnotations[key])) {
			return key
		}
	}
	return ""
}

// backends are the Services behind an Ingress.
func backends(ingress *networkingv1.Ingress) (names []string) {
	add := func(backend *networkingv1.IngressBackend) {
		if backend != nil && backend.Service != nil {
			names = append(names, backend.Service.Name)
		}
	}
	add(ingress.Spec.DefaultBackend)
	for _, rule := range ingress.Spec.Rules {
		for i := range cmp.Or(rule.HTTP, &networkingv1.HTTPIngressRuleValue{}).Paths {
			add(&rule.HTTP.Paths[i].Backend)
		}
	}
	return names
}
