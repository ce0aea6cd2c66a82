package policy

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The words that the areas of a policy accept.
var (
	clouds       = []string{"", "public", "china", "usgov"}
	identities   = []string{"", "workload", "managed", "service-principal"}
	rotations    = []string{"", "none", "files", "restart", "rollout"}
	consumers    = []string{"prometheus", "azure", "container-insights", "datadog", "grafana", "opentelemetry"}
	logModes     = []string{"", "off", "audit", "warn", "repair", "deny"}
	envName      = regexp.MustCompile(`^[-._a-zA-Z][-._a-zA-Z0-9]*$`)
	exporterName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$`)
)

// checkAreas checks the parts of a policy that belong to one of the jobs.
func (p *Policy) checkAreas(spec *yaml.Node, fail failFunc) {
	kv, metrics, logs := p.doc.Spec.KeyVault, p.doc.Spec.Metrics, p.doc.Spec.Logs
	where := func(path ...string) *yaml.Node { n, _ := lookup(spec, path...); return n }
	oneOf := func(name, value string, words []string, path ...string) {
		if !slices.Contains(words, value) {
			fail(where(path...), "spec.%s: unknown value %q; one of %s", name, value, strings.TrimPrefix(strings.Join(words, ", "), ", "))
		}
	}
	oneOf("keyVault.cloud", kv.Cloud, clouds, "keyVault", "cloud")
	oneOf("keyVault.identity.kind", kv.Identity.Kind, identities, "keyVault", "identity", "kind")
	oneOf("keyVault.rotation", kv.Rotation, rotations, "keyVault", "rotation")
	oneOf("logs.mode", logs.Mode, logModes, "logs", "mode")
	for signal, mode := range logs.Signals {
		oneOf("logs.signals."+signal, mode, logModes, "logs", "signals", signal)
	}
	for _, c := range metrics.Consumers {
		oneOf("metrics.consumers", c, consumers, "metrics", "consumers")
	}
	checkURL(fail, where("keyVault", "authorityHost"), "keyVault.authorityHost", kv.AuthorityHost, "https")
	checkURL(fail, where("keyVault", "proxy"), "keyVault.proxy", kv.Proxy, "http", "https")
	if kv.TrustedCA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(kv.TrustedCA)) {
		fail(where("keyVault", "trustedCA"), "spec.keyVault.trustedCA holds no PEM certificate")
	}
	if strings.Contains(kv.TrustedCA, "PRIVATE KEY") {
		fail(where("keyVault", "trustedCA"), "spec.keyVault.trustedCA holds a private key; only certificates belong there")
	}
	if kv.Verify != nil && *kv.Verify == Audit {
		fail(where("keyVault", "verify"), "spec.keyVault.verify: one of off, warn, deny")
	}
	for i, v := range kv.Vaults {
		item := element(where("keyVault"), "vaults", i)
		for _, missing := range missingFields("name", v.Name) {
			fail(item, "spec.keyVault.vaults[%d]: %s is missing", i, missing)
		}
		checkGlobs(fmt.Sprintf("spec.keyVault.vaults[%d].namespaces", i), v.Namespaces, item, fail)
	}
	for i, b := range kv.Bindings {
		item := element(where("keyVault"), "bindings", i)
		checkGlobs(fmt.Sprintf("spec.keyVault.bindings[%d].match.namespaces", i), b.Match.Namespaces, item, fail)
		for name := range b.Env {
			if !envName.MatchString(name) {
				fail(item, "spec.keyVault.bindings[%d].env: %q is not the name of an environment variable", i, name)
			}
		}
	}
	names := map[string]bool{}
	for i, e := range metrics.Exporters {
		item := element(where("metrics"), "exporters", i)
		if !exporterName.MatchString(e.Name) {
			fail(item, "spec.metrics.exporters[%d].name: %q is not a DNS label of 42 characters at most", i, e.Name)
		}
		if names[e.Name] {
			fail(item, "spec.metrics.exporters[%d]: the name %q is given twice", i, e.Name)
		}
		names[e.Name] = true
		if e.Port < 0 || e.Port > 65535 {
			fail(item, "spec.metrics.exporters[%d].port: %d is no port", i, e.Port)
		}
	}
}

func checkURL(fail failFunc, where *yaml.Node, name, text string, schemes ...string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || !slices.Contains(schemes, u.Scheme) {
		fail(where, "spec.%s: want %s://host[:port] without user info", name, strings.Join(schemes, ":// or "))
	}
}
