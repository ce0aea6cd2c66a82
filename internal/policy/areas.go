package policy

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/keyvault"
	"twelvefold.dev/internal/logs"
)

// The words that the areas of a policy accept.
var (
	clouds        = []string{"", "public", "china", "usgov"}
	identities    = []string{"", "workload", "managed", "service-principal"}
	rotations     = []string{"", "none", "files", "restart", "rollout"}
	consumers     = []string{"prometheus", "azure", "container-insights", "datadog", "grafana", "opentelemetry"}
	collectors    = []string{"azure", "container-insights", "datadog", "elastic", "fluentbit"}
	profiles      = []string{"spring-boot", "quarkus", "micronaut", "opentelemetry"}
	logModes      = []string{"", "off", "audit", "warn", "repair", "deny"}
	envName       = regexp.MustCompile(`^[-._a-zA-Z][-._a-zA-Z0-9]*$`)
	clientID      = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	tenantID      = regexp.MustCompile(`^[0-9a-zA-Z][-.0-9a-zA-Z]{0,252}$`)
	secretName    = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)
	imageRegistry = regexp.MustCompile(`^[a-z0-9][-a-z0-9.]*(:[0-9]+)?(/[a-z0-9][-a-z0-9._]*)*/?$`)
	exporterName  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$`)
)

// area checks the parts of a policy that belong to one of the jobs.
type area struct {
	*Policy
	spec *yaml.Node
	fail failFunc
}

func (a area) at(path ...string) *yaml.Node {
	n, _ := lookup(a.spec, path...)
	return n
}

func (a area) oneOf(value string, words []string, path ...string) {
	if !slices.Contains(words, value) {
		a.fail(a.at(path...), "spec.%s: unknown value %q; one of %s", strings.Join(path, "."), value, strings.TrimPrefix(strings.Join(words, ", "), ", "))
	}
}

func (a area) url(text string, schemes []string, path ...string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || !slices.Contains(schemes, u.Scheme) {
		a.fail(a.at(path...), "spec.%s: want %s://host[:port] without user info", strings.Join(path, "."), strings.Join(schemes, ":// or "))
	}
}

func (a area) keyVault(kv KeyVault) {
	a.oneOf(kv.Cloud, clouds, "keyVault", "cloud")
	a.identity(kv.Identity)
	if d, err := time.ParseDuration(kv.RotationInterval); kv.RotationInterval != "" && (err != nil || d < minInterval) {
		a.fail(a.at("keyVault", "rotationInterval"), "spec.keyVault.rotationInterval: want a duration of %s at least, such as 2m", minInterval)
	}
	a.oneOf(kv.Rotation, rotations, "keyVault", "rotation")
	a.url(kv.AuthorityHost, []string{"https"}, "keyVault", "authorityHost")
	a.url(kv.Proxy, []string{"http", "https"}, "keyVault", "proxy")
	if kv.TrustedCA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(kv.TrustedCA)) {
		a.fail(a.at("keyVault", "trustedCA"), "spec.keyVault.trustedCA holds no PEM certificate")
	}
	if strings.Contains(kv.TrustedCA, "PRIVATE KEY") {
		a.fail(a.at("keyVault", "trustedCA"), "spec.keyVault.trustedCA holds a private key; only certificates belong there")
	}
	if kv.Verify != nil && *kv.Verify == Audit {
		a.fail(a.at("keyVault", "verify"), "spec.keyVault.verify: one of off, warn, deny")
	}
	hosts := keyvault.Hosts{Cloud: kv.Cloud, Suffixes: kv.DNSSuffixes}
	for i, item := range a.elements(a.at("keyVault"), "vaults", len(kv.Vaults)) {
		v := kv.Vaults[i]
		for range missingFields(item, "name", v.Name) {
			a.fail(item, "spec.keyVault.vaults[%d]: name is missing", i)
		}
		if v.Name == "" {
			continue
		}
		if _, err := hosts.Host(v.Name); err != nil {
			a.fail(item, "spec.keyVault.vaults[%d].name: %v", i, err)
		}
		checkNames(fmt.Sprintf("spec.keyVault.vaults[%d].namespaces", i), v.Namespaces, item, a.fail)
	}
	for i, item := range a.elements(a.at("keyVault"), "bindings", len(kv.Bindings)) {
		a.binding(hosts, fmt.Sprintf("spec.keyVault.bindings[%d]", i), kv.Bindings[i], item)
	}
	a.akv2k8s(hosts, kv.Akv2k8s)
}

// akv2k8s checks the table of references NAME@azurekeyvault.
func (a area) akv2k8s(hosts keyvault.Hosts, table map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(table)) {
		if read, _, is := keyvault.Akv2k8s(name + "@azurekeyvault"); !is || read != name {
			a.fail(a.at("keyVault", "akv2k8s", name), "spec.keyVault.akv2k8s: %q is not the name of an AzureKeyVaultSecret", name)
		}
		ref, err := hosts.Parse(table[name], "")
		if err == nil && ref.EnvProblem() != "" {
			err = errors.New("it can't be a variable: " + ref.EnvProblem())
		}
		if err != nil {
			a.fail(a.at("keyVault", "akv2k8s", name), "spec.keyVault.akv2k8s[%q]: %v; write https://<vault>.vault.azure.net/secrets/<name>", name, err)
		}
	}
}

// identity checks what the agent signs in with, so that a slip is found here, and not by every pod.
func (a area) identity(id Identity) {
	field := func(name string) *yaml.Node { return a.at("keyVault", "identity", name) }
	a.oneOf(id.Kind, identities, "keyVault", "identity", "kind")
	if id.ClientID != "" && !clientID.MatchString(id.ClientID) {
		a.fail(field("clientID"), "spec.keyVault.identity.clientID: %q is not a UUID", id.ClientID)
	}
	if id.TenantID != "" && !tenantID.MatchString(id.TenantID) {
		a.fail(field("tenantID"), "spec.keyVault.identity.tenantID: %q is neither a UUID nor a domain", id.TenantID)
	}
	switch {
	case id.Kind != "service-principal" && id.Secret != "":
		a.fail(field("secret"), "spec.keyVault.identity.secret is for the kind service-principal only")
	case id.Kind == "service-principal" && !secretName.MatchString(id.Secret):
		a.fail(cmp.Or(field("secret"), a.at("keyVault", "identity")), "spec.keyVault.identity.secret: want the name of a Secret in the pods' namespaces")
	}
	switch {
	case id.Kind == "managed" && id.TenantID != "":
		a.fail(field("tenantID"), "spec.keyVault.identity.tenantID: a managed identity has the tenant of its subscription; leave it out")
	case id.Kind == "service-principal" && id.TenantID == "":
		a.fail(a.at("keyVault", "identity"), "spec.keyVault.identity.tenantID is missing")
	}
}

// minInterval keeps pods from spending the vault's quota on looking for new versions.
const minInterval = 10 * time.Second

// binding checks the names in a binding, so that a slip of the policy is found here, and not by the pods that it binds.
func (a area) binding(hosts keyvault.Hosts, name string, b Binding, item *yaml.Node) {
	checkNames(name+".match.namespaces", b.Match.Namespaces, item, a.fail)
	vault := "any-vault" // the pod's own
	if b.Vault != "" {
		host, err := hosts.Host(b.Vault)
		if err != nil {
			a.fail(item, "%s.vault: %v", name, err)
		} else {
			vault = host
		}
	}
	reference := func(kind, key string, secret BindingSecret) {
		ref, err := hosts.Parse(secret.Secret, vault)
		if err == nil && kind == "env" && ref.EnvProblem() != "" {
			err = errors.New("it can't be a variable: " + ref.EnvProblem() + "; take it as a file")
		}
		if err != nil {
			a.fail(item, "%s.%s[%q]: %v", name, kind, key, err)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(b.Env)) {
		if !envName.MatchString(key) {
			a.fail(item, "%s.env: %q is not the name of an environment variable", name, key)
		}
		reference("env", key, b.Env[key])
	}
	for _, key := range slices.Sorted(maps.Keys(b.Files)) {
		if !keyvault.ValidPath(key) {
			a.fail(item, "%s.files: %q is not the path of a file below the directory of secrets", name, key)
		}
		reference("files", key, b.Files[key])
	}
}

func (a area) metrics(m Metrics) {
	for i, item := range a.elements(a.at("metrics"), "consumers", len(m.Consumers)) {
		c := m.Consumers[i]
		if !slices.Contains(consumers, c) {
			a.fail(item, "spec.metrics.consumers[%d]: unknown value %q; one of %s", i, c, strings.Join(consumers, ", "))
		}
		if slices.Index(m.Consumers, c) < i {
			a.fail(item, "spec.metrics.consumers[%d]: %q is given twice", i, c)
		}
	}
	for _, p := range m.Profiles {
		a.oneOf(p, profiles, "metrics", "profiles")
	}
	if r := m.Registry; r != "" && !imageRegistry.MatchString(r) {
		a.fail(a.at("metrics", "registry"), "spec.metrics.registry: %q is no registry; want HOST[:PORT][/PATH], such as contoso.azurecr.io/mirror", r)
	}
	names := map[string]bool{}
	for i, item := range a.elements(a.at("metrics"), "exporters", len(m.Exporters)) {
		e := m.Exporters[i]
		if !exporterName.MatchString(e.Name) {
			a.fail(item, "spec.metrics.exporters[%d].name: %q is not a DNS label of 42 characters at most", i, e.Name)
		}
		if names[e.Name] {
			a.fail(item, "spec.metrics.exporters[%d]: the name %q is given twice", i, e.Name)
		}
		names[e.Name] = true
		a.exporter(e, item, fmt.Sprintf("spec.metrics.exporters[%d]", i))
	}
}

// exporter checks what would otherwise show in pods only, or make the API server refuse them.
func (a area) exporter(e Exporter, item *yaml.Node, path string) {
	field := func(name string) *yaml.Node {
		if n, ok := lookup(item, name); ok {
			return n
		}
		return item
	}
	for _, port := range []int32{e.Port, e.AppPort} {
		if port < 0 || port > 65535 {
			a.fail(item, "%s: %d is no port", path, port)
		}
	}
	if e.User < 0 {
		a.fail(field("user"), "%s.user: %d is no user's number", path, e.User)
	}
	if e.Image != "" {
		if _, err := image.Parse(e.Image); err != nil {
			a.fail(field("image"), "%s.image: %v", path, err)
		}
	}
	for _, match := range e.Match {
		if _, err := image.ParsePattern(match); err != nil {
			a.fail(field("match"), "%s.match: %v", path, err)
		}
	}
	if e.PortFlag != "" && !strings.Contains(e.PortFlag, "$(ADDRESS)") {
		a.fail(field("portFlag"), "%s.portFlag: it has no $(ADDRESS), which stands for the port", path)
	}
	if e.Jar != "" && (!strings.HasPrefix(e.Jar, "/") || strings.HasSuffix(e.Jar, "/") || strings.ContainsAny(e.Jar, " =,:\t\n")) {
		a.fail(field("jar"), "%s.jar: %q is not the absolute path of a file in the image", path, e.Jar)
	}
	given := map[string]string{}
	envNames := func(part, own string, apps ...string) {
		if other := given[own]; other != "" {
			a.fail(field(part), "%s: %s stands in %s and %s", path, own, other, part)
		}
		given[own] = part
		for _, name := range append([]string{own}, apps...) {
			if !envName.MatchString(name) {
				a.fail(field(part), "%s.%s: %q is not the name of an environment variable", path, part, name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Env)) {
		envNames("env", name)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Credentials)) {
		envNames("credentials", name, e.Credentials[name]...)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Values)) {
		envNames("values", name, e.Values[name].From...)
	}
}

func (a area) logs(l Logs) {
	a.logModes("spec.", l.LogModes)
	for _, c := range l.Collectors {
		a.oneOf(c, collectors, "logs", "collectors")
	}
}

// logModes checks the modes in a policy, or in one of its namespaces, which the prefix tells.
func (a area) logModes(prefix string, l LogModes) {
	check := func(mode, name string, path ...string) {
		if !slices.Contains(logModes, mode) {
			a.fail(a.at(path...), "%slogs.%s: unknown value %q; one of %s", prefix, name, mode, strings.TrimPrefix(strings.Join(logModes, ", "), ", "))
		}
	}
	check(l.Mode, "mode", "logs", "mode")
	for _, signal := range slices.Sorted(maps.Keys(l.Signals)) {
		check(l.Signals[signal], "signals."+signal, "logs", "signals", signal)
		if !slices.Contains(logs.SignalNames, signal) {
			a.fail(a.at("logs", "signals"), "%slogs.signals: unknown signal %q; one of %s", prefix, signal, strings.Join(logs.SignalNames, ", "))
		}
	}
}
